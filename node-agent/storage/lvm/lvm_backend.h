// LvmBackend: a volume is a logical volume of the pool's group, and its path the kernel's node of
// it, such as /dev/dm-3.
//
//   (nothing) ──lvcreate──► partial ──tag taken off──► volume ──tag put on──► partial ──► (nothing)
//                              └──────────── crash: removed when the pool is opened ────────┘
//
// Where lvcreate alone makes the volume, a thin one that is not formatted or a copy as large as its
// source, it is a volume at once.
//
// Full pools: a linear, striped or mirrored volume, zeroed before its birth and again before its
// extents are given back. It grows by extents that were zeroed as another logical volume first:
//
//   volume ──lvcreate──► volume and growth ──zeroed──► growth removed, its extents joined ──►
//   volume
//                              └─── crash: the growth is removed when the pool is opened ───┘
//
// Sparse pools: a thin volume; the kernel zeroes a chunk before a volume
// gets it, and chunks are discarded when they are given back. See LvmMedium for the thin pool.
//
// What LVM says is kept until this process changes it or the medium asks anew (Refresh, every few
// seconds): each command takes some 50 ms. Thread-safe as StorageBackend says.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "lib/base/mutex.h"
#include "lib/system/command_runner.h"
#include "node-agent/storage/lvm/lvm_dependencies.h"
#include "node-agent/storage/lvm/lvm_sizes.h"
#include "node-agent/storage/lvm/lvm_tool.h"
#include "node-agent/storage/lvm/thin_maps.h"
#include "node-agent/storage/storage_backend.h"
#include "node-agent/storage/wipes.h"

namespace ashlar::node_agent {

// What of a volume changes by one command of LVM.
struct LvmProperties {
  bool partial = false;   // whether it bears the tag kPartialTag from now on
  bool writable = false;  // it is made writable, if it was not
};

class LvmBackend final : public StorageBackend {
 public:
  LvmBackend(sys::CommandRunner& commands, std::shared_ptr<LvmTool> tool, std::string group,
             LvmLimits limits)
      : commands_(commands),
        lvm_(std::move(tool)),
        group_(std::move(group)),
        sparse_(limits.sparse),
        maps_(std::make_shared<ThinMaps>(commands, ThinPoolDevice(group_), lvm_->folder())),
        limits_(limits) {}

  // From now on these limits hold. Stripes, mirrors and sparse do not change.
  void SetLimits(const LvmLimits& limits);
  // From now on these are the ids of the drives, by the UUIDs that LVM gave them.
  void SetDrives(std::map<std::string, std::string> ids);
  // Looks anew; what LVM says now.
  absl::StatusOr<VolumeGroup> Refresh();
  // The next call looks anew.
  void Forget();
  // Begins to remove what of the group interrupted calls left: those of an earlier process, also
  // when a command that it had begun ends later, and those whose removal failed.
  void RemoveLeftovers(const VolumeGroup& group);
  ThinMaps& maps() { return *maps_; }

  BackendTraits Traits() const override;
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
  absl::StatusOr<const VolumeGroup*> Group() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // The partial or whole volume of that name.
  absl::StatusOr<LogicalVolume> Locked(const std::string& name) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::Status Change(const std::vector<std::string>& argv) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // What LVM says need not be asked for again after that.
  absl::Status ChangeProperties(const std::string& name, const LvmProperties& properties)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Thin pools fill up without us: what LVM says is asked for before room is looked for.
  void LookHowFull() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::Status CheckRoom(int64_t more_bytes, const std::string& drive)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::StatusOr<std::vector<std::string>> Placement(const VolumeFacts& facts, int64_t size_bytes,
                                                     const std::string& drive)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::Status Extend(const std::string& name, int64_t size_bytes,
                      const std::vector<std::string>& ranges = {})
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Unavailable while it is being moved off a drive.
  absl::Status CheckAtRest(const LogicalVolume& lv) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Of a full volume, in a thread that outlives the call.
  absl::Status GrowZeroed(const CallContext& context, const std::string& name, int64_t size_bytes);
  absl::StatusOr<LogicalVolume> CreateGrowth(const std::string& name, int64_t size_bytes)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::Status JoinGrowth(const std::string& name, int64_t size_bytes)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Whether lvcreate alone makes the volume: nothing is zeroed, formatted or extended.
  bool IsCompleteAtOnce(const VolumeFacts& facts, int64_t size_bytes)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // The volume that lvcreate made, with kPartialTag unless it is complete at once.
  absl::StatusOr<LogicalVolume> CreatePartial(const VolumeFacts& facts, int64_t size_bytes,
                                              const std::string& drive);
  absl::Status Fill(const CallContext& context, const VolumeFacts& facts, const LogicalVolume& lv);
  // Makes the volume's bytes unreadable for whoever gets its extents.
  absl::Status Erase(const CallContext& context, const LogicalVolume& lv);
  absl::Status RemovePartial(const CallContext& context, LogicalVolume lv);
  absl::StatusOr<StoredVolume> Describe(const LogicalVolume& lv) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // The one that the volume lies on; empty: several, or nobody told its id.
  std::string DriveOf(const LogicalVolume& lv) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  std::string ProblemOf(const LogicalVolume& lv) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  std::string Path(absl::string_view lv) const;
  Wipes::Work RemovalOf(const LogicalVolume& lv);
  Wipes::Work LeftoverRemovalOf(const LogicalVolume& lv);

  sys::CommandRunner& commands_;
  const std::shared_ptr<LvmTool> lvm_;
  const std::string group_;
  const bool sparse_;
  const std::shared_ptr<ThinMaps> maps_;
  // Held over LVM's commands, which wait for one another anyway, so that room is looked for and
  // taken in one step; never while a volume is zeroed or formatted.
  Mutex mu_;
  LvmLimits limits_ ABSL_GUARDED_BY(mu_);
  std::map<std::string, std::string> drives_ ABSL_GUARDED_BY(mu_);
  std::optional<VolumeGroup> known_ ABSL_GUARDED_BY(mu_);
  std::set<std::string> making_ ABSL_GUARDED_BY(mu_);  // logical volumes that calls work on
  Wipes wipes_;  // by name of the volume; last, for it ends first
};

}  // namespace ashlar::node_agent
