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
// A drive that comes to match later is added by the next Open.
#pragma once

#include <memory>
#include <set>
#include <string>
#include <vector>

#include "lib/base/mutex.h"
#include "node-agent/storage/lvm/lvm_backend.h"
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
    std::vector<std::string> refused;  // match, with the reason why they are not taken
    bool foreign_group = false;        // a group of our name is another pool's
  };
  absl::StatusOr<Drives> LookAtDrives(const PoolRecord& record);
  // Saved as claimed and proven free once more, the drives become the group, or more of it.
  absl::Status Claim(PoolRecord& record, SavePoolRecord save, Drives& drives);
  absl::Status SaveMembers(PoolRecord& record, SavePoolRecord save, const Drives& drives);
  absl::Status OpenGroup(const PoolRecord& record, std::vector<std::string> devices);
  // Volumes stay known, and are not healthy.
  OpenedPool AllMissing();
  void Heal(const VolumeGroup& group, std::vector<std::string> devices, OpenedPool& opened);
  absl::Status TendThinPool(const PoolRecord& record);
  static void TellState(const VolumeGroup& group, const LvmLimits& limits, OpenedPool& opened);
  absl::Status EraseUnfinished(const PoolRecord& record);

  const PoolEnvironment& env_;
  const std::string group_, uid_tag_;
  const std::shared_ptr<LvmTool> lvm_;
  std::shared_ptr<LvmBackend> backend_;
  std::vector<std::string> healed_devices_;  // which the active volumes refer to
  mutable Mutex mu_;
  std::set<std::string> member_uuids_ ABSL_GUARDED_BY(mu_);
};

}  // namespace ashlar::node_agent
