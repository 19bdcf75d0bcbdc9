// GpuStock: the GPUs of which parts can be had, as placement sees them, out of what agents report.
// Pure.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "ashlar/agent/v1/node_agent.pb.h"
#include "ashlar/v1alpha1/gpu_partition.pb.h"
#include "controller/composer/node_devices.h"
#include "lib/base/json.h"

namespace ashlar::controller {

// A node whose GPUs Ashlar may divide.
struct GpuNodeFacts {
  std::string name;
  std::string problem;  // why nothing new is placed there; empty: usable
  const agent::v1::Inventory* inventory = nullptr;  // the last report; nullptr: there was none
  std::vector<std::string> held = {};               // devices that claims have, by the API
  std::string gpus_problem = {};  // why none of its GPUs is given; empty: they are Ashlar's
  int power_budget_watts = 0;     // NodeInventory.spec.gpuPowerBudgetWatts; 0: there is none
};

// What a NodeInventory says that the node's GPUs may draw together; 0: nothing.
int PowerBudgetOf(const Json& inventory);

// Whether a NodeInventory says that somebody else hands out the node's GPUs too.
bool HasOwnershipConflict(const Json& inventory);

// Why the GPUs of the NodeInventory's node are not Ashlar's to give; empty: they are. `other_owner`
// hands them out, as OtherGpuOwner has it.
std::string GpuOwnershipProblem(const Json& inventory, const std::string& other_owner);

struct GpuProfileFacts {
  int64_t memory = 0;
  int compute_slices = 0;
};

struct GpuStock {
  composer::Inventory inventory;
  std::map<std::string, GpuProfileFacts> profiles;   // by name; of several models the least
  std::map<std::string, std::string> architectures;  // by UUID
};

enum class GpuUse {
  kParts,          // GPUs that can be divided
  kPartsAndWhole,  // all, and what of them can only be given whole is not divided
};

// What is not free: instances, whoever made them, but those that are kept for nobody; what agents
// were told that claims have; `held`; and `promised`, of which a place without a profile is all of
// the GPU. Not what the claims of the uids `own_claims` have.
GpuStock StockOf(const std::vector<GpuNodeFacts>& nodes,
                 const std::vector<v1alpha1::GPUPartitionAllocation>& promised,
                 const std::set<std::string>& own_claims, GpuUse use = GpuUse::kParts);

// Whether the part could be made (of one without a profile: the GPU given whole), or is the own
// claims'. False: the node or the GPU is not there.
bool IsFree(const composer::Inventory& inventory, const v1alpha1::GPUPartitionAllocation& part);

}  // namespace ashlar::controller
