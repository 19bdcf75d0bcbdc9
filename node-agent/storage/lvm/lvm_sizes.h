// How much a volume group can give. Pure functions.
#pragma once

#include <cstdint>

#include "node-agent/storage/lvm/lvm_report.h"
#include "node-agent/storage/storage_backend.h"

namespace ashlar::node_agent {

struct LvmLimits {
  int64_t reserve_bytes = 0;  // never given to volumes; of a thin pool: what it may grow into
  bool sparse = false;
  int overprovision_percent = 100;  // of the capacity that may be promised, when sparse
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
ThinPlan PlanThinPool(int64_t group_bytes, int64_t reserve_bytes);
// What the drives have that may be given.
int64_t GroupBytes(const VolumeGroup& group);

// How large the thin pool should be now: as planned for the drives that there are, and larger, out
// of the reserves, when it has filled up. Never smaller than it is.
ThinPlan GrownThinPool(const VolumeGroup& group, const LogicalVolume& pool,
                       const LvmLimits& limits);
// Whether more was promised than there is, and most of what there is is taken; or the metadata are.
bool ThinPoolNearlyFull(const VolumeGroup& group, const LvmLimits& limits);

// Nothing is allocatable while a drive is missing: LVM then refuses changes of the group.
PoolUsage UsageOf(const VolumeGroup& group, const LvmLimits& limits);

}  // namespace ashlar::node_agent
