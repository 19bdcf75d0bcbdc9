// LvmMedium: a pool of the backend LVM on all drives that it selects, as one volume group. The
// group is named after the pool's uid and bears the uid as a tag; its drives are known by the UUIDs
// that LVM gave them.
//
//   (drive proven free) ──► claimed: in no group yet, or with a label of LVM ──► carries the pool
//                                │     ▲
//                                └─────┘ crash: taken again
//
// The pool is not open, and so has no volumes, until the record says that its group is made. If the
// pool is removed before, the labels and the empty group are erased: the drives are free again.
// A drive that comes to match later is added by the next Open; one that spec.drain names leaves
// (LvmDrain), and stays a member of the record until it is free.
#pragma once

#include <memory>
#include <set>
#include <string>
#include <vector>

#include "lib/base/mutex.h"
#include "node-agent/storage/lvm/lvm_backend.h"
#include "node-agent/storage/lvm/lvm_drain.h"
#include "node-agent/storage/lvm/lvm_tool.h"
#include "node-agent/storage/pool_medium.h"

namespace ashlar::node_agent {

class LvmMedium final : public PoolMedium {
 public:
  LvmMedium(const PoolEnvironment& env, const PoolSpec& spec);

  absl::StatusOr<OpenedPool> Open(const CallContext& context, PoolRecord& record,
                                  SavePoolRecord save) override;
  absl::Status Close(const CallContext& context, const PoolRecord& record) override;
  bool Carries(const Drive& drive) const override;

 private:
  // The drives of this node as they matter to the pool.
  struct Drives {
    std::vector<Drive> members;        // carry the pool
    std::vector<Drive> addable;        // match, and are free or were claimed
    std::vector<Drive> drained;        // members that spec.drain names
    std::vector<Drive> used;           // match, are no part of a group, and spec.wipe may help
    std::vector<Drive> leaving;        // such that have left the group, and are not free yet
    std::vector<std::string> left;     // ids of such that are free
    std::vector<std::string> refused;  // match, with the reason why they are not taken
    size_t recorded = 0;               // members of the record that are here
    bool foreign_group = false;        // a group of our name is another pool's
  };
  absl::StatusOr<Drives> LookAtDrives(const PoolRecord& record);
  // Makes used drives that spec.wipe names addable, and refuses the others.
  absl::Status WipeNamed(PoolRecord& record, SavePoolRecord save, Drives& drives);
  // Saved as claimed and proven free once more, the drives become the group, or more of it.
  absl::Status Claim(PoolRecord& record, SavePoolRecord save, Drives& drives);
  absl::Status SaveMembers(PoolRecord& record, SavePoolRecord save, const Drives& drives);
  // The group as it is now.
  absl::StatusOr<VolumeGroup> OpenGroup(const PoolRecord& record);
  // What the drives and the filling ask for; `group` is then as it is after that.
  absl::Status TendGroup(const PoolRecord& record, const Drives& drives, VolumeGroup& group);
  // Volumes stay known, and are not healthy.
  OpenedPool AllMissing();
  // Drives that are drained take no extents from now on, others do. Whether that was a change.
  absl::StatusOr<bool> SetAllocatable(const Drives& drives, const VolumeGroup& group);
  void Drain(const Drives& drives, const VolumeGroup& group, OpenedPool& opened);
  void Heal(const VolumeGroup& group, OpenedPool& opened);
  // Whether the thin pool waits for that, or it was tried now.
  bool RemakeThinPool(const VolumeGroup& group, OpenedPool& opened);
  absl::StatusOr<bool> ReferToGoneDrives(const VolumeGroup& group);
  absl::Status MakeThinPool(const VolumeGroup& group, const LvmLimits& limits);
  // Makes it or lets it grow. Whether that was a change; OK also if it could not grow now.
  absl::StatusOr<bool> TendThinPool(const PoolRecord& record, const VolumeGroup& group);
  absl::Status GrowThinPool(const VolumeGroup& group, const LogicalVolume& pool,
                            const ThinPlan& plan);
  static void TellState(const VolumeGroup& group, const LvmLimits& limits, OpenedPool& opened);
  absl::Status EraseUnfinished(const PoolRecord& record);

  const PoolEnvironment& env_;
  const std::string group_, uid_tag_;
  const std::shared_ptr<LvmTool> lvm_;
  std::shared_ptr<LvmBackend> backend_;
  bool sparse_ = false;  // of the backend
  LvmDrain drain_;
  // Drives with which refreshing did not help.
  std::vector<std::string> refreshed_in_vain_;
  bool remade_in_vain_ = false;  // the thin pool
  mutable Mutex mu_;
  std::set<std::string> member_uuids_ ABSL_GUARDED_BY(mu_);
};

}  // namespace ashlar::node_agent
