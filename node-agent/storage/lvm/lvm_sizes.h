// How much a volume group can give. Pure functions.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "node-agent/storage/lvm/lvm_report.h"
#include "node-agent/storage/pool_types.h"
#include "node-agent/storage/storage_backend.h"

namespace ashlar::node_agent {

struct LvmLimits {
  int64_t reserve_bytes = 0;  // never given to volumes; of a thin pool: what it may grow into
  bool sparse = false;
  int overprovision_percent = 100;  // of the capacity that may be promised, when sparse
  LvmOptions layout;                // of volumes, or of the data of the thin pool
  bool operator==(const LvmLimits&) const = default;
};

// Of a group in which nothing else lies. What is left over is free for metadata to grow into, and
// for the data to grow by the reserve.
struct ThinPlan {
  int64_t data_bytes = 0;
  int64_t metadata_bytes = 0;  // of the pool; LVM keeps a spare of the same size for repairs
  int64_t chunk_bytes = 0;
  bool operator==(const ThinPlan&) const = default;
};
ThinPlan PlanThinPool(const VolumeGroup& group, const LvmLimits& limits);

// How large the thin pool should be now: as planned for the drives that there are, and larger, out
// of the reserves, by as many steps as it takes to be no longer full. Never smaller than it is, and
// never larger than the extents that are free allow.
ThinPlan GrownThinPool(const VolumeGroup& group, const LogicalVolume& pool,
                       const LvmLimits& limits);
// Whether more was promised than there is, and most of what there is is taken; or the metadata are.
bool ThinPoolNearlyFull(const VolumeGroup& group, const LvmLimits& limits);

// How many drives one volume lies on.
int64_t LegsOf(const LvmOptions& layout);
// Whether each volume can lie on one drive that is named: it has one leg, or a thin pool that lies
// on one drive.
bool CanNameDrives(const VolumeGroup& group, const LvmLimits& limits);
// The drives that a new volume shall lie on, one for each leg: those with the most free extents.
// Empty: anywhere; each drive that may be given has room or is not needed.
std::vector<std::string> DrivesForLegs(const VolumeGroup& group, const LvmOptions& layout);

// How a full volume grows to `size_bytes`: by extents on one drive for each of its legs, so that no
// leg ever shares a drive with another leg.
struct GrowthPlan {
  std::vector<std::string> drives;  // empty: anywhere
  int64_t extents_bytes = 0;        // on all of them together
  int64_t most_bytes = 0;           // by which the volume can grow on them
};
GrowthPlan PlanGrowth(const VolumeGroup& group, const LogicalVolume& lv, int64_t size_bytes);

// Nothing is allocatable while a drive is missing: LVM then refuses changes of the group. What is
// still to be moved off drives that are left is kept free for it on the others. Drives are told if
// they can be named, by PhysicalVolume::drive.
PoolUsage UsageOf(const VolumeGroup& group, const LvmLimits& limits);

}  // namespace ashlar::node_agent
