// WholeDriveBackend: a volume is a drive, from its first byte to its last: nothing of ours is on it
// but the filesystem, if it has one. A volume is as large as its drive, which is the smallest free
// one that is large enough; it cannot grow or be copied.
//
// What describes a volume is a record in the state directory, named by the drive's id:
//
//   (no record) ──► making: zeroed, formatted ──► volume ──► wiping: zeroed ──► (no record)
//                      │                                        ▲
//                      └────────── crash, error ────────────────┘
//
// The record is saved before the first byte is written to a drive that was proven free. If the
// state directory is lost the drive of a filesystem volume bears a filesystem, so it is not free:
// nobody takes or wipes it. The filesystem's UUID is made from the pool's uid and the volume's id;
// a Create of that id takes the drive as the volume again. The drive of a block volume has no such
// mark: it is not free if its first or last MiB holds anything (blank_ends.h). Drives are not taken
// that only a name in /dev identifies: it may be another one's after a boot.
//
// The path of a volume is a link below `links`. Thread-safe as StorageBackend says.
#pragma once

#include <map>
#include <set>

#include "absl/functional/function_ref.h"
#include "lib/base/mutex.h"
#include "lib/system/command_runner.h"
#include "node-agent/inventory/drive_scanner.h"
#include "node-agent/storage/storage_backend.h"
#include "node-agent/storage/wipes.h"

namespace ashlar::node_agent {

struct WholeDrive {
  Drive drive;
  bool takes_volumes = true;
};

class WholeDriveBackend final : public StorageBackend {
 public:
  // The directories are made if absent. What is borrowed must outlive the backend.
  WholeDriveBackend(sys::CommandRunner& commands, DriveScanner& scanner, std::string pool_uid,
                    std::string records, std::string links)
      : commands_(commands),
        scanner_(scanner),
        pool_uid_(std::move(pool_uid)),
        records_(std::move(records)),
        links_(std::move(links)) {}

  // From now on these drives are there, with what they were found to be. Brings the links in line
  // and goes on with what an interrupted call left. `reserve_bytes` of free drives are never given
  // to volumes. The answer: ids of the drives that are, become or were volumes. Aborted, and
  // nothing is done: a drive was freed since Freed answered `freed`, so look at them again.
  absl::StatusOr<std::set<std::string>> SetDrives(std::vector<WholeDrive> drives,
                                                  int64_t reserve_bytes, uint64_t freed);
  // How many drives have been wiped and freed.
  uint64_t Freed();
  // Whether the drive is a volume, or becomes or was one.
  bool Holds(const std::string& drive_id);
  // What `act` answers, during which the drive does not become one; false if it is one.
  absl::StatusOr<bool> UnlessHeld(const std::string& drive_id,
                                  absl::FunctionRef<absl::StatusOr<bool>()> act);

  BackendTraits Traits() const override { return {true, {"ext4", "xfs"}, false, false}; }
  absl::StatusOr<PoolUsage> Usage() override;
  absl::StatusOr<StoredVolume> Create(const CallContext& context, const VolumeFacts& facts,
                                      int64_t size_bytes, const std::string& drive) override;
  absl::StatusOr<StoredVolume> Find(const std::string& id) override;
  absl::StatusOr<std::vector<StoredVolume>> List() override;
  absl::StatusOr<StoredVolume> Grow(const CallContext& context, const std::string& id,
                                    int64_t size_bytes) override;
  absl::StatusOr<StoredVolume> Prepare(const CallContext& context, const std::string& id) override;
  absl::Status Remove(const CallContext& context, const std::string& id) override;

 private:
  struct Record {
    std::string drive;  // id
    std::string state;  // making, volume, wiping
    VolumeFacts facts;
  };
  absl::Status LoadRecords() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::Status Save(const Record& record) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  std::string RecordPath(const std::string& drive_id) const;
  std::string LinkOf(const std::string& id) const;
  // Null: that drive is not there.
  const WholeDrive* Present(const std::string& drive_id) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Null: there is none.
  const Record* RecordOf(const std::string& id) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // The record, of a drive that is there, in the state volume.
  absl::StatusOr<Record> FindVolume(const std::string& id) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  bool IsFree(const WholeDrive& drive) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  PoolUsage UsageLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::StatusOr<StoredVolume> Describe(const Record& record) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  std::string UuidOf(const std::string& id) const;

  // Takes a drive that bears the volume although its record was lost.
  bool Readopt(const VolumeFacts& facts) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::StatusOr<Drive> Reserve(const VolumeFacts& facts, int64_t size_bytes,
                                const std::string& drive);
  // By what name the drive goes at this moment: asked before it is written to.
  absl::StatusOr<std::string> DeviceNow(const Drive& drive);
  absl::Status Build(const CallContext& context, const VolumeFacts& facts, const Drive& drive);
  // Zeroes the drive and removes its record.
  Wipes::Work WipeOf(const std::string& drive_id);
  absl::Status WipeAndFree(const CallContext& context, const std::string& drive_id);

  sys::CommandRunner& commands_;
  DriveScanner& scanner_;
  const std::string pool_uid_;
  const std::string records_;
  const std::string links_;
  // Held while a drive is chosen and recorded, which must be one step. Zeroing and formatting
  // happen outside.
  Mutex mu_;
  std::vector<WholeDrive> drives_ ABSL_GUARDED_BY(mu_);
  int64_t reserve_bytes_ ABSL_GUARDED_BY(mu_) = 0;
  std::map<std::string, Record> known_ ABSL_GUARDED_BY(mu_);  // what is on disk, by drive
  uint64_t freed_ ABSL_GUARDED_BY(mu_) = 0;
  std::set<std::string> barred_ ABSL_GUARDED_BY(mu_);  // drives that UnlessHeld works on
  std::set<std::string> making_ ABSL_GUARDED_BY(mu_);  // drives that calls work on
  Wipes wipes_;                                        // last: its threads use all of the above
};

}  // namespace ashlar::node_agent
