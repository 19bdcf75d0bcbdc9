#include "controller/gpu_partition/power_budget.h"

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "controller/dra_names/device_names.h"

namespace ashlar::controller {
namespace {

using agent::v1::GpuPartitionState;
using agent::v1::Inventory;
using v1alpha1::GPUPartitionAllocation;
using v1alpha1::GPUPartitionSpec;

constexpr size_t kMostNodesTold = 3;
constexpr size_t kMostTries = 8;

const v1alpha1::Gpu* FindGpu(const Inventory* inventory, const std::string& uuid) {
  if (inventory == nullptr) return nullptr;
  for (const v1alpha1::Gpu& gpu : inventory->gpus())
    if (gpu.uuid() == uuid) return &gpu;
  return nullptr;
}

bool HasDevice(const v1alpha1::Gpu& gpu, const std::string& device) {
  if (GpuDeviceName(gpu.uuid()) == device) return true;
  for (const v1alpha1::MigProfile& profile : gpu.mig().profiles())
    for (const v1alpha1::MigPlacement& place : profile.placements())
      if (GpuPartDeviceName(gpu.uuid(), profile.name(), place.start(), place.size()) == device)
        return true;
  return false;
}

const GpuPartitionState* FindMade(const Inventory& inventory, const v1alpha1::Gpu& gpu,
                                  const v1alpha1::MigInstance& instance) {
  for (const GpuPartitionState& part : inventory.gpu_partitions())
    if (part.gpu() == gpu.uuid() && part.gpu_instance() == instance.id() &&
        part.start() == instance.start())
      return &part;
  return nullptr;
}

// Whether the GPU takes the limit; 0 is no limit.
bool Takes(const v1alpha1::Gpu* gpu, int watts) {
  if (watts == 0) return true;
  return gpu != nullptr && gpu->has_power() && watts >= gpu->power().min_limit_watts() &&
         watts <= gpu->power().max_limit_watts();
}

// A choice of parts under a limit and budgets.
class Chooser {
 public:
  Chooser(GpuStock stock, const GPUPartitionSpec& spec, const std::vector<GpuNodeFacts>& nodes,
          const PromisedParts& promised, const std::set<std::string>& own_claims)
      : stock_(std::move(stock)), spec_(spec), watts_(spec.power_limit_watts()), nodes_(nodes) {
    for (const GpuNodeFacts& node : nodes)
      powers_.emplace_back(node, node.power_budget_watts > 0 ? promised : PromisedParts(),
                           own_claims);
  }

  PartChoice Choose() {
    const GpuStock all = stock_;
    LimitToRange();
    const bool in_range = Has(ChooseParts(stock_, spec_));
    for (size_t i = 0; i < nodes_.size(); ++i)
      for (composer::Gpu& gpu : stock_.inventory.nodes[i].gpus)
        if (powers_[i].has_budget() && powers_[i].More(gpu.name, watts_) > powers_[i].Left())
          gpu.problem = "the node's power budget does not last";
    // Each time a node more is bounded, in the end all are.
    for (size_t tries = 0; tries <= kMostTries; ++tries) {
      PartChoice choice = ChooseParts(stock_, spec_);
      auto* parts = std::get_if<std::vector<GPUPartitionAllocation>>(&choice);
      if (parts == nullptr) break;
      const size_t node = NodeOf(parts->at(0).node());
      if (Lasts(node, *parts)) {
        if (watts_ > 0)
          for (GPUPartitionAllocation& part : *parts) part.set_power_limit_watts(watts_);
        return choice;
      }
      for (size_t i = 0; i < nodes_.size(); ++i)
        if (i == node || tries + 1 == kMostTries)
          KeepWithinBudget(powers_[i], watts_, stock_.inventory.nodes[i]);
    }
    PartChoice without = ChooseParts(all, spec_);
    if (!Has(without)) return without;
    return in_range ? OverBudget() : OutOfRange(all);
  }

 private:
  static bool Has(const PartChoice& choice) { return !std::holds_alternative<NoParts>(choice); }

  void LimitToRange() {
    for (size_t i = 0; i < nodes_.size(); ++i)
      for (composer::Gpu& gpu : stock_.inventory.nodes[i].gpus)
        if (!Takes(FindGpu(nodes_[i].inventory, gpu.name), watts_))
          gpu.problem = "it does not take the power limit";
  }

  size_t NodeOf(const std::string& name) const {
    size_t i = 0;
    while (nodes_[i].name != name) ++i;
    return i;
  }

  bool Lasts(size_t node, const std::vector<GPUPartitionAllocation>& parts) const {
    if (!powers_[node].has_budget()) return true;
    std::set<std::string> gpus;
    for (const GPUPartitionAllocation& part : parts) gpus.insert(part.gpu());
    int more = 0;
    for (const std::string& gpu : gpus) more += powers_[node].More(gpu, watts_);
    return more <= powers_[node].Left();
  }

  NoParts OutOfRange(const GpuStock& all) const {
    int least = 0, most = 0;
    for (size_t i = 0; i < nodes_.size(); ++i)
      for (const composer::Gpu& gpu : all.inventory.nodes[i].gpus) {
        const v1alpha1::Gpu* its = FindGpu(nodes_[i].inventory, gpu.name);
        if (its == nullptr || !its->has_power() || !gpu.problem.empty()) continue;
        least = most == 0 ? its->power().min_limit_watts()
                          : std::min(least, its->power().min_limit_watts());
        most = std::max(most, its->power().max_limit_watts());
      }
    return {"PowerLimitOutOfRange",
            absl::StrCat("spec.powerLimitWatts: Invalid value: ", watts_, ": ",
                         most == 0 ? "no GPU of these nodes can be limited"
                                   : absl::StrCat("the GPUs that have room take ", least, " to ",
                                                  most, " W"))};
  }

  NoParts OverBudget() const {
    std::vector<std::string> told;
    size_t more = 0;
    for (size_t i = 0; i < nodes_.size(); ++i) {
      if (!powers_[i].has_budget() || !nodes_[i].problem.empty()) continue;
      if (told.size() < kMostNodesTold)
        told.push_back(absl::StrCat("node ", nodes_[i].name, ": ", powers_[i].Words()));
      else
        ++more;
    }
    if (more > 0) told.push_back(absl::StrCat(more, " more nodes"));
    return {"PowerBudgetExceeded",
            absl::StrCat(watts_ > 0
                             ? absl::StrCat("spec.powerLimitWatts: Invalid value: ", watts_, ": ")
                             : "without spec.powerLimitWatts a GPU draws what it can: ",
                         "more than NodeInventory.spec.gpuPowerBudgetWatts leaves on ",
                         absl::StrJoin(told, "; "),
                         ". Ask for less, free one of these, or raise the budget")};
  }

  GpuStock stock_;
  const GPUPartitionSpec& spec_;
  const int watts_;
  const std::vector<GpuNodeFacts>& nodes_;
  std::vector<NodePower> powers_;  // as the nodes
};

}  // namespace

NodePower::NodePower(const GpuNodeFacts& node, const PromisedParts& promised,
                     const std::set<std::string>& own_claims)
    : budget_(node.power_budget_watts), inventory_(node.inventory) {
  std::set<std::string> known;  // devices
  for (size_t i = 0; i < promised.parts.size(); ++i) {
    const GPUPartitionAllocation& part = promised.parts[i];
    if (part.node() != node.name) continue;
    Add(part.gpu(), part.power_limit_watts(),
        i < promised.owners.size() ? promised.owners[i] : "a Composition");
    known.insert(part.profile().empty()
                     ? GpuDeviceName(part.gpu())
                     : GpuPartDeviceName(part.gpu(), part.profile(), part.start(), part.size()));
  }
  if (inventory_ != nullptr) AddClaims(known, own_claims);
}

void NodePower::AddClaims(const std::set<std::string>& known,
                          const std::set<std::string>& own_claims) {
  for (const agent::v1::ClaimState& claim : inventory_->claims()) {
    if (own_claims.contains(claim.uid())) continue;
    for (const agent::v1::ClaimDeviceState& device : claim.devices()) {
      if (device.driver() != kGpuDriver || known.contains(device.device())) continue;
      for (const v1alpha1::Gpu& gpu : inventory_->gpus()) {
        if (!HasDevice(gpu, device.device())) continue;
        int watts = 0;
        for (const GpuPartitionState& part : inventory_->gpu_partitions())
          if (part.gpu() == gpu.uuid() && part.claim() == claim.uid()) watts = part.power_watts();
        Add(gpu.uuid(), watts, absl::StrCat("the claim of uid ", claim.uid()));
      }
    }
  }
  for (const v1alpha1::Gpu& gpu : inventory_->gpus())
    for (const v1alpha1::MigInstance& instance : gpu.mig().instances())
      if (FindMade(*inventory_, gpu, instance) == nullptr) Add(gpu.uuid(), 0, "somebody else");
}

int NodePower::OwnLimit(const std::string& gpu) const {
  const v1alpha1::Gpu* its = FindGpu(inventory_, gpu);
  if (its == nullptr || !its->has_power()) return 0;
  for (const GpuPartitionState& part : inventory_->gpu_partitions())
    if (part.gpu() == gpu && part.power_watts() > 0) return its->power().default_limit_watts();
  return its->power().limit_watts();
}

void NodePower::Add(const std::string& gpu, int watts, const std::string& owner) {
  Use& use = uses_[gpu];
  use.watts = std::max(use.watts, watts > 0 ? watts : OwnLimit(gpu));
  if (std::find(use.by.begin(), use.by.end(), owner) == use.by.end()) use.by.push_back(owner);
}

int NodePower::InUse() const {
  int watts = 0;
  for (const auto& [gpu, use] : uses_) watts += use.watts;
  return watts;
}

int NodePower::More(const std::string& gpu, int watts) const {
  const auto use = uses_.find(gpu);
  const int now = use == uses_.end() ? 0 : use->second.watts;
  return std::max(watts > 0 ? watts : OwnLimit(gpu), now) - now;
}

std::string NodePower::Words() const {
  std::vector<std::string> uses;
  for (const auto& [gpu, use] : uses_)
    uses.push_back(absl::StrCat(gpu, " ", use.watts, " W by ", absl::StrJoin(use.by, ", ")));
  return absl::StrCat(budget_, " W are allowed, and ",
                      uses.empty()
                          ? "none are taken"
                          : absl::StrCat(InUse(), " W are taken: ", absl::StrJoin(uses, "; ")));
}

void KeepWithinBudget(const NodePower& power, int watts, composer::NodeDevices& node) {
  if (!power.has_budget()) return;
  std::vector<composer::Gpu*> gpus;
  for (composer::Gpu& gpu : node.gpus)
    if (gpu.problem.empty()) gpus.push_back(&gpu);
  std::sort(gpus.begin(), gpus.end(), [&](const composer::Gpu* a, const composer::Gpu* b) {
    return std::pair(power.More(a->name, watts), a->name) <
           std::pair(power.More(b->name, watts), b->name);
  });
  int left = std::max(power.Left(), 0);
  for (composer::Gpu* gpu : gpus) {
    const int more = power.More(gpu->name, watts);
    if (more > left)
      gpu->problem = "the node's power budget does not last";
    else
      left -= more;
  }
}

PartChoice ChoosePartsWithin(const GpuStock& stock, const GPUPartitionSpec& spec,
                             const std::vector<GpuNodeFacts>& nodes, const PromisedParts& promised,
                             const std::set<std::string>& own_claims) {
  const bool any = std::any_of(nodes.begin(), nodes.end(), [](const GpuNodeFacts& node) {
    return node.power_budget_watts > 0;
  });
  if (!any && !spec.has_power_limit_watts()) return ChooseParts(stock, spec);
  return Chooser(stock, spec, nodes, promised, own_claims).Choose();
}

}  // namespace ashlar::controller
