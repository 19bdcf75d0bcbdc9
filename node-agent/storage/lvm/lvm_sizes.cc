#include "node-agent/storage/lvm/lvm_sizes.h"

#include <algorithm>
#include <functional>
#include <limits>
#include <numeric>

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

using Extents = std::vector<int64_t>;  // of each drive

int64_t Promised(const VolumeGroup& group) {
  int64_t bytes = 0;
  for (const LogicalVolume& lv : group.lvs)
    if (lv.is_volume()) bytes += lv.size_bytes;
  return bytes;
}

// Down to whole stripes of one extent each.
int64_t FloorStripes(int64_t bytes, const LvmOptions& layout) {
  const int64_t stripe = layout.stripes * kMiB;
  return std::max<int64_t>(0, bytes) / stripe * stripe;
}

Extents AllExtents(const VolumeGroup& group) {
  Extents all;
  for (const PhysicalVolume& pv : group.pvs)
    if (pv.allocatable && !pv.missing) all.push_back(pv.extents);
  return all;
}

Extents FreeExtents(const VolumeGroup& group) {
  Extents free;
  for (const PhysicalVolume& pv : group.pvs)
    if (pv.allocatable && !pv.missing) free.push_back(pv.extents - pv.used_extents);
  return free;
}

// How long legs can be that are laid out piece by piece, each piece on as many drives as there are
// legs: the largest n for which the drives have n extents for each leg, and none gives more than n.
int64_t SpreadLeg(Extents drives, int64_t legs) {
  if (static_cast<int64_t>(drives.size()) < legs) return 0;
  std::sort(drives.begin(), drives.end(), std::greater<>());
  int64_t sum = std::accumulate(drives.begin(), drives.end(), int64_t{0});
  int64_t least = sum / legs;
  for (int64_t taken = 1; taken < legs; ++taken) {  // the largest drives each hold a leg alone
    sum -= drives[static_cast<size_t>(taken - 1)];
    least = std::min(least, sum / (legs - taken));
  }
  return least;
}

// How long legs can be that lie on one drive each. A single leg may lie on several.
int64_t WholeLeg(Extents drives, int64_t legs) {
  if (legs == 1) return SpreadLeg(std::move(drives), 1);
  if (static_cast<int64_t>(drives.size()) < legs) return 0;
  std::sort(drives.begin(), drives.end(), std::greater<>());
  return drives[static_cast<size_t>(legs - 1)];
}

// Each leg of a mirrored volume has an extent that says what is in sync.
int64_t LegMetadata(const LvmOptions& layout) { return layout.mirrors > 0 ? 1 : 0; }

// What volumes of this layout get from legs of that length.
int64_t VolumeBytes(const VolumeGroup& group, const LvmOptions& layout, int64_t leg_extents) {
  return std::max<int64_t>(0, leg_extents - LegMetadata(layout)) * layout.stripes *
         group.extent_bytes;
}

// What the legs on drives that are left will take of the other drives, as bytes of volumes.
int64_t BytesToMove(const VolumeGroup& group, const LvmOptions& layout) {
  int64_t extents = 0;
  for (const PhysicalVolume& pv : group.pvs)
    if (!pv.allocatable && !pv.missing) extents += pv.used_extents;
  return (extents * group.extent_bytes + layout.mirrors) / (1 + layout.mirrors);
}

PoolUsage ThinUsageOf(const VolumeGroup& group, const LvmLimits& limits) {
  const int64_t data = PlanThinPool(group, limits).data_bytes;
  PoolUsage usage;
  usage.allocated_bytes = Promised(group);
  usage.capacity_bytes = FloorMiB(static_cast<int64_t>(
      static_cast<double>(data) / 100 * std::max(100, limits.overprovision_percent)));
  if (!group.missing_drives() && !ThinPoolNearlyFull(group, limits))
    usage.allocatable_bytes = FloorMiB(usage.capacity_bytes - usage.allocated_bytes);
  usage.largest_bytes = usage.allocatable_bytes;
  return usage;
}

PoolUsage FullUsageOf(const VolumeGroup& group, const LvmLimits& limits) {
  const LvmOptions& layout = limits.layout;
  const int64_t legs = LegsOf(layout);
  const auto bytes = [&](int64_t leg_extents) { return VolumeBytes(group, layout, leg_extents); };
  const Extents all = AllExtents(group), free = FreeExtents(group);
  PoolUsage usage;
  usage.allocated_bytes = Promised(group);
  for (const LogicalVolume& lv : group.lvs)
    if (lv.is_growth()) usage.allocated_bytes += lv.size_bytes / (1 + layout.mirrors);
  usage.capacity_bytes = FloorStripes(bytes(SpreadLeg(all, legs)) - limits.reserve_bytes, layout);
  if (group.missing_drives()) return usage;
  usage.allocatable_bytes = FloorStripes(
      bytes(SpreadLeg(free, legs)) - limits.reserve_bytes - BytesToMove(group, layout), layout);
  usage.largest_bytes = std::min(usage.allocatable_bytes, bytes(WholeLeg(free, legs)));
  return usage;
}

}  // namespace

int64_t LegsOf(const LvmOptions& layout) { return layout.stripes * (1 + layout.mirrors); }

bool CanNameDrives(const VolumeGroup& group, const LvmLimits& limits) {
  return limits.sparse ? group.pvs.size() == 1 : LegsOf(limits.layout) == 1;
}

std::vector<std::string> DrivesForLegs(const VolumeGroup& group, const LvmOptions& layout) {
  if (LegsOf(layout) == 1) return {};
  std::vector<const PhysicalVolume*> pvs;
  for (const PhysicalVolume& pv : group.pvs)
    if (pv.allocatable && !pv.missing) pvs.push_back(&pv);
  std::stable_sort(pvs.begin(), pvs.end(), [](const auto* a, const auto* b) {
    return a->extents - a->used_extents > b->extents - b->used_extents;
  });
  std::vector<std::string> devices;
  for (const PhysicalVolume* pv : pvs)
    if (static_cast<int64_t>(devices.size()) < LegsOf(layout)) devices.push_back(pv->device);
  return devices;
}

ThinPlan PlanThinPool(const VolumeGroup& group, const LvmLimits& limits) {
  const int64_t stripes = limits.layout.stripes;
  const int64_t all = SpreadLeg(AllExtents(group), stripes) * stripes * group.extent_bytes;
  const int64_t room = FloorMiB(all - limits.reserve_bytes);
  ThinPlan plan;
  plan.chunk_bytes = kLeastChunk;
  while (plan.chunk_bytes < kMostChunk &&
         room / plan.chunk_bytes * kMetadataOfChunk > kEasyMetadata)
    plan.chunk_bytes *= 2;
  plan.metadata_bytes = std::clamp(CeilMiB(room / plan.chunk_bytes * kMetadataOfChunk),
                                   kLeastMetadata, kMostMetadata);
  // The metadata and its spare, and as much again: a reserve for snapshots, each of which has a
  // tree of its own. They may all lie on one drive, whose stripe is shorter then, and so the
  // others.
  plan.data_bytes = FloorStripes(room - 4 * plan.metadata_bytes * stripes, limits.layout);
  return plan;
}

ThinPlan GrownThinPool(const VolumeGroup& group, const LogicalVolume& pool,
                       const LvmLimits& limits) {
  const ThinPlan planned = PlanThinPool(group, limits);
  const int64_t stripes = limits.layout.stripes;
  int64_t room = SpreadLeg(FreeExtents(group), stripes) * stripes * group.extent_bytes -
                 BytesToMove(group, limits.layout);
  ThinPlan plan = planned;
  plan.metadata_bytes = std::max(planned.metadata_bytes, pool.metadata_bytes);
  if (pool.metadata_percent >= kGrowMetadata && pool.metadata_bytes >= planned.metadata_bytes)
    plan.metadata_bytes =
        std::max(pool.metadata_bytes, std::min(2 * planned.metadata_bytes, kMostMetadata));
  const int64_t more_metadata = 2 * (plan.metadata_bytes - pool.metadata_bytes);  // and the spare
  if (more_metadata > room) {
    plan.metadata_bytes = pool.metadata_bytes;
  } else {
    room -= more_metadata;
  }
  plan.data_bytes = std::max(planned.data_bytes, pool.size_bytes);
  const int64_t most = planned.data_bytes + FloorStripes(limits.reserve_bytes, limits.layout);
  const double used = pool.data_percent / 100 * static_cast<double>(pool.size_bytes);
  const int64_t step =
      CeilMiB(std::max(limits.reserve_bytes / 4, pool.size_bytes / 64) / stripes) * stripes;
  // All steps at once: who writes faster than we look waits for this one.
  while (plan.data_bytes < most && used >= kGrowData / 100 * static_cast<double>(plan.data_bytes))
    plan.data_bytes = std::min(plan.data_bytes + std::max(step, stripes * kMiB), most);
  plan.data_bytes = std::min(plan.data_bytes, pool.size_bytes + FloorStripes(room, limits.layout));
  plan.data_bytes = std::max(plan.data_bytes, pool.size_bytes);
  return plan;
}

bool ThinPoolNearlyFull(const VolumeGroup& group, const LvmLimits& limits) {
  const LogicalVolume* pool = group.Find(kThinPool);
  if (pool == nullptr) return false;
  if (pool->metadata_percent >= kFullMetadata) return true;
  const int64_t data = PlanThinPool(group, limits).data_bytes;
  const double used = pool->data_percent / 100 * static_cast<double>(pool->size_bytes);
  return Promised(group) > data && used >= kFullData / 100 * static_cast<double>(data);
}

GrowthPlan PlanGrowth(const VolumeGroup& group, const LogicalVolume& lv, int64_t size_bytes) {
  // Its layout is the one that it was made with.
  LvmOptions layout;
  const std::vector<const LogicalVolume*> legs = group.LegsOf(lv);
  GrowthPlan plan;
  if (lv.is_mirrored() && !legs.empty() && legs[0]->size_bytes > 0) {
    layout.stripes =
        static_cast<int32_t>(std::max<int64_t>(1, lv.size_bytes / legs[0]->size_bytes));
    for (const LogicalVolume* leg : legs)
      if (!leg->devices().empty()) plan.drives.push_back(leg->devices().back());
  } else if (!lv.is_mirrored() && lv.layout == "striped") {
    layout.stripes = lv.stripes;
    plan.drives = DrivesForLegs(group, layout);
  } else if (lv.has_tag(kOneDriveTag) && !lv.devices().empty()) {
    plan.drives = {lv.devices().front()};
  }
  const int64_t stripe = layout.stripes * group.extent_bytes;
  const int64_t leg_bytes = (size_bytes - lv.size_bytes + stripe - 1) / stripe * group.extent_bytes;
  if (plan.drives.empty()) {
    plan.extents_bytes = leg_bytes;
    plan.most_bytes = SpreadLeg(FreeExtents(group), 1) * group.extent_bytes;
    return plan;
  }
  plan.extents_bytes = leg_bytes * static_cast<int64_t>(plan.drives.size());
  int64_t least = std::numeric_limits<int64_t>::max() / stripe;
  for (const std::string& drive : plan.drives) {
    const PhysicalVolume* pv = group.FindDrive(drive);
    const bool gives = pv != nullptr && pv->allocatable && !pv->missing;
    least = std::min(least, gives ? pv->extents - pv->used_extents : 0);
  }
  plan.most_bytes = least * stripe;
  return plan;
}

PoolUsage UsageOf(const VolumeGroup& group, const LvmLimits& limits) {
  PoolUsage usage = limits.sparse ? ThinUsageOf(group, limits) : FullUsageOf(group, limits);
  if (!CanNameDrives(group, limits)) return usage;
  for (const PhysicalVolume& pv : group.pvs) {
    if (!pv.gives() || pv.drive.empty()) continue;
    DriveUsage drive{pv.drive, usage.capacity_bytes, usage.allocated_bytes, usage.allocatable_bytes,
                     usage.largest_bytes};
    if (!limits.sparse) {
      drive.capacity_bytes = FloorMiB(pv.extents * group.extent_bytes);
      drive.allocated_bytes = pv.used_extents * group.extent_bytes;
      drive.allocatable_bytes = std::min(
          usage.allocatable_bytes, FloorMiB((pv.extents - pv.used_extents) * group.extent_bytes));
      drive.largest_bytes = drive.allocatable_bytes;
    }
    usage.drives.push_back(std::move(drive));
  }
  return usage;
}

}  // namespace ashlar::node_agent
