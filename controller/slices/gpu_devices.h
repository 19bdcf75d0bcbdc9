// The devices of gpu.ashlar.dev on one node: GPUs, and the parts of those that are divided (MIG),
// each profile at each place. What parts of a GPU may exist together follows from counters that
// they share: its memory slices, its slices of compute and its engines. Pure.
#pragma once

#include <string>
#include <vector>

#include "absl/time/time.h"
#include "ashlar/agent/v1/node_agent.pb.h"
#include "controller/dra_names/device_names.h"
#include "controller/slices/slice_pool.h"
#include "lib/base/json.h"

namespace ashlar::controller {

// Keys of taints.
inline constexpr char kGpuLostTaint[] = "ashlar.dev/gpu-lost";  // NoExecute
inline constexpr char kGpuMemoryTaint[] =
    "ashlar.dev/gpu-memory";  // NoSchedule; not to be repaired
inline constexpr char kGpuRecoveryTaint[] = "ashlar.dev/gpu-recovery";  // NoSchedule; the action
inline constexpr char kGpuXidTaint[] = "ashlar.dev/gpu-xid";            // NoSchedule; the number

// A place that is promised to the Composition of the uid.
struct ReservedPlace {
  std::string gpu;  // UUID
  int start = 0;    // memory slices
  int size = 0;     // 0: all of the GPU
  std::string owner;
};

struct GpuDevicesFacts {
  const agent::v1::Inventory& inventory;
  bool agent_silent = false;
  absl::Time now;
  std::vector<ReservedPlace> reserved = {};
};

struct GpuDevices {
  // First those with counter sets, then those with devices; all devices of a GPU in one slice.
  std::vector<SliceContent> slices;
  // When a taint ends without being told; infinite: none does.
  absl::Time until = absl::InfiniteFuture();
};

// Devices that would take of a reserved place have the taint kReservedTaint, which the claims of
// its owner tolerate. A GPU that can be divided is published in parts; one that is not divided now
// also as a whole, which takes all counters. What instances that others made have is not in the
// counters.
GpuDevices DevicesOfGpus(const GpuDevicesFacts& facts);

// Who else hands out the node's GPUs, for people; empty: nobody. `slices` are ResourceSlices of
// NVIDIA's driver.
std::string OtherGpuOwner(const Json& node, bool has_nvidia_slices);

}  // namespace ashlar::controller
