// Which drives of a pool are nearest to GPUs. Pure functions and values.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "ashlar/v1alpha1/topology.pb.h"
#include "node-agent/inventory/drive.h"
#include "node-agent/storage/storage_backend.h"

namespace ashlar::node_agent {

// What GPUs and a drive share, from near to far. As ashlar.v1alpha1.GpuDrivePath.level.
enum class NearLevel { kSwitch, kRoot, kNumaNode, kSystem };
absl::string_view LevelName(NearLevel level);
// InvalidArgument for what is not a level.
absl::StatusOr<NearLevel> LevelFromName(absl::string_view name);

struct NearDrive {
  std::string id;  // as the pool calls it
  NearLevel level = NearLevel::kSystem;
  int64_t room_bytes = 0;  // the largest volume that fits there
  bool operator==(const NearDrive&) const = default;
};

// The drives of the pool, the nearest first, of equals the one with the most room. The level is
// that to the farthest of the GPUs; System where no path is known. A pool may call a drive by the
// serial of its controller.
std::vector<NearDrive> OrderDrives(const std::vector<DriveUsage>& rooms,
                                   const std::vector<Drive>& drives,
                                   const std::vector<v1alpha1::GpuDrivePath>& paths,
                                   const std::vector<std::string>& gpus);

// Why no drive within `level` takes the volume: the nearest that would, and what the nearer ones
// have. `ordered` is of OrderDrives.
std::string ExplainFar(const std::vector<NearDrive>& ordered, NearLevel level, int64_t size_bytes);

}  // namespace ashlar::node_agent
