#include "node-agent/storage/lvm/lvm_sizes.h"

#include <algorithm>

#include "node-agent/storage/room.h"

namespace ashlar::node_agent {
namespace {

int64_t CeilMiB(int64_t bytes) { return (bytes + kMiB - 1) / kMiB * kMiB; }

// The kernel's own estimate of what a mapped chunk takes of a thin pool's metadata
// (Documentation/admin-guide/device-mapper/thin-provisioning.rst): 48 bytes, and the tree.
constexpr int64_t kMetadataOfChunk = 64;
constexpr int64_t kLeastMetadata = 4 * kMiB;
// LVM's limit is a little below 16 GiB.
constexpr int64_t kMostMetadata = int64_t{15} << 30;
constexpr int64_t kLeastChunk = 64 << 10, kMostChunk = 1 << 20;
// Larger chunks keep the metadata below this as long as they can.
constexpr int64_t kEasyMetadata = int64_t{1} << 30;

// Percent from which the pool grows into a reserve, and from which it takes no more volumes.
constexpr double kGrowData = 85, kFullData = 90, kGrowMetadata = 70, kFullMetadata = 85;

int64_t Promised(const VolumeGroup& group) {
  int64_t bytes = 0;
  for (const LogicalVolume& lv : group.lvs)
    if (lv.is_volume()) bytes += lv.size_bytes;
  return bytes;
}

PoolUsage ThinUsageOf(const VolumeGroup& group, const LvmLimits& limits) {
  const int64_t data = PlanThinPool(GroupBytes(group), limits.reserve_bytes).data_bytes;
  PoolUsage usage;
  usage.allocated_bytes = Promised(group);
  usage.capacity_bytes = FloorMiB(static_cast<int64_t>(
      static_cast<double>(data) / 100 * std::max(100, limits.overprovision_percent)));
  if (!group.missing_drives() && !ThinPoolNearlyFull(group, limits))
    usage.allocatable_bytes = FloorMiB(usage.capacity_bytes - usage.allocated_bytes);
  usage.largest_bytes = usage.allocatable_bytes;
  return usage;
}

}  // namespace

int64_t GroupBytes(const VolumeGroup& group) {
  int64_t bytes = 0;
  for (const PhysicalVolume& pv : group.pvs)
    if (pv.allocatable) bytes += pv.extents * group.extent_bytes;
  return bytes;
}

ThinPlan PlanThinPool(int64_t group_bytes, int64_t reserve_bytes) {
  const int64_t room = FloorMiB(group_bytes - reserve_bytes);
  ThinPlan plan;
  plan.chunk_bytes = kLeastChunk;
  while (plan.chunk_bytes < kMostChunk &&
         room / plan.chunk_bytes * kMetadataOfChunk > kEasyMetadata)
    plan.chunk_bytes *= 2;
  plan.metadata_bytes = std::clamp(CeilMiB(room / plan.chunk_bytes * kMetadataOfChunk),
                                   kLeastMetadata, kMostMetadata);
  // The metadata and its spare, and as much again: a reserve for snapshots, each of which has a
  // tree of its own.
  plan.data_bytes = FloorMiB(room - 4 * plan.metadata_bytes);
  return plan;
}

ThinPlan GrownThinPool(const VolumeGroup& group, const LogicalVolume& pool,
                       const LvmLimits& limits) {
  const ThinPlan planned = PlanThinPool(GroupBytes(group), limits.reserve_bytes);
  ThinPlan plan = planned;
  plan.data_bytes = std::max(plan.data_bytes, pool.size_bytes);
  plan.metadata_bytes = std::max(plan.metadata_bytes, pool.metadata_bytes);
  const int64_t reserve = FloorMiB(limits.reserve_bytes);
  if (pool.data_percent >= kGrowData && pool.size_bytes >= planned.data_bytes) {
    const int64_t step = CeilMiB(std::max(reserve / 4, pool.size_bytes / 64));
    plan.data_bytes =
        std::max(pool.size_bytes, std::min(pool.size_bytes + step, planned.data_bytes + reserve));
  }
  if (pool.metadata_percent >= kGrowMetadata && pool.metadata_bytes >= planned.metadata_bytes)
    plan.metadata_bytes =
        std::max(pool.metadata_bytes, std::min(2 * planned.metadata_bytes, kMostMetadata));
  return plan;
}

bool ThinPoolNearlyFull(const VolumeGroup& group, const LvmLimits& limits) {
  const LogicalVolume* pool = group.Find(kThinPool);
  if (pool == nullptr) return false;
  if (pool->metadata_percent >= kFullMetadata) return true;
  const int64_t data = PlanThinPool(GroupBytes(group), limits.reserve_bytes).data_bytes;
  const double used = pool->data_percent / 100 * static_cast<double>(pool->size_bytes);
  return Promised(group) > data && used >= kFullData / 100 * static_cast<double>(data);
}

PoolUsage UsageOf(const VolumeGroup& group, const LvmLimits& limits) {
  if (limits.sparse) return ThinUsageOf(group, limits);
  int64_t all = 0, free = 0;
  for (const PhysicalVolume& pv : group.pvs) {
    if (pv.missing) continue;
    all += (pv.allocatable ? pv.extents : pv.used_extents) * group.extent_bytes;
    free += (pv.allocatable ? pv.extents - pv.used_extents : 0) * group.extent_bytes;
  }
  PoolUsage usage;
  usage.allocated_bytes = Promised(group);
  usage.capacity_bytes = FloorMiB(all - limits.reserve_bytes);
  if (!group.missing_drives()) usage.allocatable_bytes = FloorMiB(free - limits.reserve_bytes);
  usage.largest_bytes = usage.allocatable_bytes;
  return usage;
}

}  // namespace ashlar::node_agent
