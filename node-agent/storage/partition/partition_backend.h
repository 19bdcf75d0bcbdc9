// PartitionBackend: a volume is one GPT partition of one drive, aligned to 1 MiB; nothing lies
// between it and the drive. partition_layout.h says how a drive describes itself.
//
//                 (room)
//   Create ──► unfinished: reserved, zeroed, formatted ──► volume ──► unfinished: zeroed ──► (room)
//                 │                              the type is the birth     Remove
//                 └──────────── crash, error: zeroed ──────────────────────────┘
//
// One write of the table is each step's moment; a restarted agent zeroes what is unfinished.
// Zeroing goes on by itself (wipes.h); until it ends the bytes count as allocated. Every byte is
// zeroed once before its first use and once after each volume. The path of a volume is a link below
// `links`, as the kernel's name changes when a drive is plugged again. A drive has at most 127
// volumes. Thread-safe as StorageBackend says.
#pragma once

#include <optional>
#include <set>

#include "absl/functional/function_ref.h"
#include "lib/base/mutex.h"
#include "lib/system/command_runner.h"
#include "node-agent/storage/partition/partition_layout.h"
#include "node-agent/storage/storage_backend.h"
#include "node-agent/storage/wipes.h"

namespace ashlar::node_agent {

struct PartitionDrive {
  std::string id;
  std::string device;
  bool takes_volumes = true;
  bool operator==(const PartitionDrive&) const = default;
};

class PartitionBackend final : public StorageBackend {
 public:
  // `links` is a directory that is made if absent; `pool_uid` does not change.
  PartitionBackend(sys::CommandRunner& commands, std::string pool_uid, std::string links)
      : commands_(commands), pool_uid_(std::move(pool_uid)), links_(std::move(links)) {}

  // From now on the pool lies on these drives, which carry it, as far as they can be read.
  // Brings the kernel's partitions and the links in line with the tables, and goes on with what an
  // interrupted call left.
  absl::Status SetDrives(const std::vector<PartitionDrive>& drives, int64_t reserve_bytes);
  // Whether the drive has neither volumes nor bytes that are still to be zeroed.
  absl::StatusOr<bool> IsEmpty(const std::string& drive_id);

  // Makes the drive, which must be free, one of the pool. Repeatable.
  static absl::Status Claim(const std::string& device, const std::string& drive_id,
                            const std::string& pool_uid);
  // The drive, which has no volumes, is free afterwards. Repeatable.
  static absl::Status Release(const std::string& device);

  BackendTraits Traits() const override { return {true, {"ext4", "xfs"}, true, false}; }
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
  struct OpenDrive {
    PartitionDrive drive;
    int64_t grain = kMiB;
    sys::PartitionTable table;
  };
  struct Place {
    OpenDrive on;
    sys::Partition partition;
  };
  // Those that can be read; an error if there are drives and none can be.
  absl::StatusOr<std::vector<OpenDrive>> ReadDrives() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // NotFound: no drive has it. Unavailable: one that cannot be read might.
  absl::StatusOr<Place> FindPlace(const std::string& guid) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::StatusOr<Place> FindVolume(const std::string& id) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  PoolUsage UsageOf(const std::vector<OpenDrive>& drives) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Writes the partitions, of which those without bytes go, and tells the kernel.
  absl::Status Put(const OpenDrive& on, const std::vector<sys::Partition>& partitions)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::StatusOr<Place> Reserve(const VolumeFacts& facts, int64_t size_bytes,
                                const std::string& drive);
  absl::Status Build(const CallContext& context, const VolumeFacts& facts, const Place& place);
  absl::StatusOr<StoredVolume> Describe(const Place& place);
  std::string LinkOf(const std::string& id) const;
  absl::Status Link(const Place& place, const std::string& id);

  // Zeroes the unfinished partition and gives its bytes back. Gone is OK.
  absl::Status WipeAndFree(const CallContext& context, const std::string& guid);
  Wipes::Work WipeOf(const std::string& guid);
  void StartWipe(const std::string& guid);
  // Zeroes what of the partition was never zeroed.
  absl::Status Clean(const CallContext& context, const Place& place);

  sys::CommandRunner& commands_;
  const std::string pool_uid_;
  const std::string links_;
  // Held while tables are read and changed, which must be one step: otherwise two calls could be
  // promised the same bytes. It takes milliseconds; zeroing and formatting happen outside.
  Mutex mu_;
  std::vector<PartitionDrive> drives_ ABSL_GUARDED_BY(mu_);
  int64_t reserve_bytes_ ABSL_GUARDED_BY(mu_) = 0;
  std::set<std::string> making_ ABSL_GUARDED_BY(mu_);  // GUIDs of unfinished ones that calls have
  Wipes wipes_;                                        // last: its threads use all of the above
};

}  // namespace ashlar::node_agent
