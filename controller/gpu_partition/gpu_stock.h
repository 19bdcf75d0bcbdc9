// GpuStock: the GPUs of which parts can be had, as placement sees them, out of what agents report.
// Pure.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "ashlar/agent/v1/node_agent.pb.h"
#include "ashlar/v1alpha1/gpu_partition.pb.h"
#include "controller/composer/node_devices.h"

namespace ashlar::controller {

// A node whose GPUs Ashlar may divide.
struct GpuNodeFacts {
  std::string name;
  std::string problem;  // why nothing new is placed there; empty: usable
  const agent::v1::Inventory* inventory = nullptr;  // the last report; nullptr: there was none
};

struct GpuProfileFacts {
  int64_t memory = 0;
  int compute_slices = 0;
};

struct GpuStock {
  composer::Inventory inventory;
  std::map<std::string, GpuProfileFacts> profiles;   // by name; of several models the least
  std::map<std::string, std::string> architectures;  // by UUID
};

// What is not free: instances, whoever made them, but those that are kept for nobody; what agents
// were told that claims have; and `promised`. Not what the claim of uid `own_claim` has.
GpuStock StockOf(const std::vector<GpuNodeFacts>& nodes,
                 const std::vector<v1alpha1::GPUPartitionAllocation>& promised,
                 const std::string& own_claim);

// Whether the part could be made, or is the own claim's. False: the node or the GPU is not there.
bool IsFree(const GpuStock& stock, const v1alpha1::GPUPartitionAllocation& part);

}  // namespace ashlar::controller
