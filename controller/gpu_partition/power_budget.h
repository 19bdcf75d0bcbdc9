// What the GPUs of a node may draw while they are in use, and what the node's budget leaves
// (decision 0027). Pure.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "controller/gpu_partition/gpu_stock.h"
#include "controller/gpu_partition/part_choice.h"

namespace ashlar::controller {

// Parts that are somebody's by the API, whether the node's report shows them or not.
struct PromisedParts {
  std::vector<v1alpha1::GPUPartitionAllocation> parts;
  std::vector<std::string> owners;  // as parts; what is missing is "a Composition"
};

class NodePower {
 public:
  // Borrows the report of `node`. What the claims of the uids `own_claims` have does not count.
  NodePower(const GpuNodeFacts& node, const PromisedParts& promised,
            const std::set<std::string>& own_claims);

  bool has_budget() const { return budget_ > 0; }
  // What the GPUs in use may draw: of each the greatest limit that is asked for, and what it has by
  // itself if somebody on it asks for none.
  int InUse() const;
  int Left() const { return budget_ - InUse(); }
  // What a part with the limit would add; 0: it asks for none.
  int More(const std::string& gpu, int watts) const;
  // "1200 W are allowed, and 700 W are taken: GPU-a 700 W by team/p, somebody else".
  std::string Words() const;

 private:
  struct Use {
    int watts = 0;
    std::vector<std::string> by;
  };
  // What the GPU may draw if nobody asks for a limit; 0: it does not tell.
  int OwnLimit(const std::string& gpu) const;
  void Add(const std::string& gpu, int watts, const std::string& owner);
  void AddClaims(const std::set<std::string>& known, const std::set<std::string>& own_claims);

  const int budget_;
  const agent::v1::Inventory* inventory_;
  std::map<std::string, Use> uses_;  // by GPU
};

// Gives a problem to GPUs of the node so that, whichever of the others are taken, the budget lasts.
// `watts`: as in More. GPUs of which less would be added come first.
void KeepWithinBudget(const NodePower& power, int watts, composer::NodeDevices& node);

// ChooseParts, of GPUs that take spec.powerLimitWatts and on nodes whose budget lasts. Reasons
// beside those of ChooseParts: PowerLimitOutOfRange, PowerBudgetExceeded.
PartChoice ChoosePartsWithin(const GpuStock& stock, const v1alpha1::GPUPartitionSpec& spec,
                             const std::vector<GpuNodeFacts>& nodes, const PromisedParts& promised,
                             const std::set<std::string>& own_claims);

}  // namespace ashlar::controller
