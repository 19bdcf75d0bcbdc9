#include "controller/gpu_partition/gpu_stock.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "controller/dra_names/device_names.h"

namespace ashlar::controller {
namespace {

using composer::MigLayout;
using composer::MigPlacement;

MigLayout LayoutOf(const v1alpha1::Mig& mig) {
  int memory = 0, compute = 0, media = 0;
  std::vector<composer::MigProfile> profiles;
  for (const v1alpha1::MigProfile& its : mig.profiles()) {
    composer::MigProfile& profile = profiles.emplace_back();
    profile = {its.name(), its.compute_slices(), its.ofas(), its.max_instances(), {}};
    for (const v1alpha1::MigPlacement& place : its.placements()) {
      profile.placements.push_back({place.start(), place.size()});
      memory = std::max(memory, place.start() + place.size());
    }
    compute = std::max(compute, its.compute_slices());
    media = std::max(media, its.ofas());
  }
  return {memory, compute, media, std::move(profiles)};
}

// What makes layouts alike.
std::string LayoutKey(const v1alpha1::Gpu& gpu) {
  std::string key = gpu.product();
  for (const v1alpha1::MigProfile& profile : gpu.mig().profiles())
    absl::StrAppend(&key, "/", profile.name());
  return key;
}

std::string HealthProblemOf(const agent::v1::Inventory& inventory, const v1alpha1::Gpu& gpu) {
  if (inventory.gpu_driver().state() != "Ready")
    return absl::StrCat("the driver is ", inventory.gpu_driver().state());
  if (!gpu.health().problem().empty()) return gpu.health().problem();
  const std::string& action = gpu.health().recovery_action();
  if (!action.empty() && action != "None") return absl::StrCat("it needs ", action);
  if (gpu.health().row_remap_failed()) return "it has memory that cannot be repaired";
  return "";
}

// Why it cannot be divided now.
std::string ModeProblemOf(const v1alpha1::Gpu& gpu) {
  if (gpu.mig().enabled()) return "";
  if (gpu.mig().pending()) return "its MIG mode is on after the next reset";
  if (gpu.architecture() == "Ampere")
    return "its MIG mode is off, and only a reset can switch it on";
  return "";
}

class Stock {
 public:
  Stock(const std::set<std::string>& own_claims, GpuUse use) : own_claims_(own_claims), use_(use) {}

  void Add(const GpuNodeFacts& facts) {
    composer::NodeDevices& node = stock.inventory.nodes.emplace_back();
    node.name = facts.name;
    by_name_.emplace(node.name, stock.inventory.nodes.size() - 1);
    node.problem = facts.problem;
    if (facts.inventory == nullptr) return;
    for (const v1alpha1::Gpu& gpu : facts.inventory->gpus()) {
      if (gpu.mig().profiles().empty() && use_ == GpuUse::kParts) continue;
      node.gpus.push_back(GpuOf(*facts.inventory, gpu));
      if (!facts.gpus_problem.empty()) node.gpus.back().problem = facts.gpus_problem;
    }
    for (const agent::v1::ClaimState& claim : facts.inventory->claims())
      if (!own_claims_.contains(claim.uid())) TakeDevices(claim, *facts.inventory, node);
    for (const std::string& device : facts.held) TakeDevice(device, *facts.inventory, node);
  }

  void Promise(const v1alpha1::GPUPartitionAllocation& part) {
    const auto [first, end] = by_name_.equal_range(part.node());
    for (auto at = first; at != end; ++at)
      for (composer::Gpu& gpu : stock.inventory.nodes[at->second].gpus)
        if (gpu.name == part.gpu())
          part.profile().empty() ? void(gpu.taken = true)
                                 : Take(gpu, part.profile(), {part.start(), part.size()});
  }

  GpuStock stock;

 private:
  composer::Gpu GpuOf(const agent::v1::Inventory& inventory, const v1alpha1::Gpu& its) {
    composer::Gpu gpu;
    gpu.name = its.uuid();
    gpu.product = its.product();
    gpu.problem = HealthProblemOf(inventory, its);
    const std::string mode = ModeProblemOf(its);
    if (use_ == GpuUse::kParts && gpu.problem.empty()) gpu.problem = mode;
    gpu.gives_whole = !its.mig().enabled();
    if (!its.mig().profiles().empty() && (use_ == GpuUse::kParts || mode.empty()))
      gpu.layout = Layout(its);
    stock.architectures[gpu.name] = its.architecture();
    for (const v1alpha1::MigInstance& instance : its.mig().instances()) {
      const auto made =
          std::find_if(inventory.gpu_partitions().begin(), inventory.gpu_partitions().end(),
                       [&](const agent::v1::GpuPartitionState& part) {
                         return part.gpu() == its.uuid() && part.gpu_instance() == instance.id() &&
                                part.start() == instance.start() && part.size() == instance.size();
                       });
      // What is kept gives way.
      const bool gives_way = made != inventory.gpu_partitions().end() && made->problem().empty() &&
                             (made->claim().empty() || own_claims_.contains(made->claim()));
      if (!gives_way) Take(gpu, instance.profile(), {instance.start(), instance.size()});
    }
    return gpu;
  }

  int Layout(const v1alpha1::Gpu& gpu) {
    for (const v1alpha1::MigProfile& profile : gpu.mig().profiles()) {
      const auto [it, added] = stock.profiles.try_emplace(
          profile.name(), GpuProfileFacts{profile.memory(), profile.compute_slices()});
      if (!added) it->second.memory = std::min(it->second.memory, profile.memory());
    }
    const auto [it, added] =
        layouts_.try_emplace(LayoutKey(gpu), static_cast<int>(stock.inventory.layouts.size()));
    if (added) stock.inventory.layouts.push_back(LayoutOf(gpu.mig()));
    return it->second;
  }

  // Of what somebody said that it has; what is taken twice is taken all the same.
  void Take(composer::Gpu& gpu, const std::string& name, MigPlacement place) {
    if (gpu.layout < 0) {
      gpu.taken = true;
      return;
    }
    const MigLayout& layout = stock.inventory.layouts[static_cast<size_t>(gpu.layout)];
    const int profile = layout.Find(name);
    if (profile >= 0 && layout.CanTake(gpu.used, profile, place))
      return layout.Take(gpu.used, profile, place);
    for (int slice = place.start; slice < place.start + place.size && slice < 64; ++slice)
      gpu.used.memory |= uint64_t{1} << slice;
  }

  // Devices that a claim has by its allocation, also before they are made.
  void TakeDevices(const agent::v1::ClaimState& claim, const agent::v1::Inventory& inventory,
                   composer::NodeDevices& node) {
    for (const agent::v1::ClaimDeviceState& device : claim.devices()) {
      if (device.driver() != kGpuDriver || !device.mig_device().empty()) continue;
      TakeDevice(device.device(), inventory, node);
    }
  }
  void TakeDevice(const std::string& device, const agent::v1::Inventory& inventory,
                  composer::NodeDevices& node) {
    for (composer::Gpu& gpu : node.gpus) {
      if (GpuDeviceName(gpu.name) == device) gpu.taken = true;
      for (const v1alpha1::Gpu& its : inventory.gpus())
        if (its.uuid() == gpu.name) TakePart(its, device, gpu);
    }
  }
  void TakePart(const v1alpha1::Gpu& its, const std::string& device, composer::Gpu& gpu) {
    for (const v1alpha1::MigProfile& profile : its.mig().profiles())
      for (const v1alpha1::MigPlacement& place : profile.placements())
        if (GpuPartDeviceName(its.uuid(), profile.name(), place.start(), place.size()) == device)
          Take(gpu, profile.name(), {place.start(), place.size()});
  }

  const std::set<std::string> own_claims_;
  const GpuUse use_;
  std::map<std::string, int> layouts_;
  std::multimap<std::string, size_t> by_name_;  // nodes
};

}  // namespace

int PowerBudgetOf(const Json& inventory) {
  return static_cast<int>(JsonInt(inventory, {"spec", "gpuPowerBudgetWatts"}));
}

bool HasOwnershipConflict(const Json& inventory) {
  const Json* conditions = FindJson(inventory, {"status", "conditions"});
  if (conditions == nullptr || !conditions->is_array()) return false;
  return std::any_of(conditions->begin(), conditions->end(), [](const Json& condition) {
    return JsonString(condition, {"type"}) == "OwnershipConflict" &&
           JsonString(condition, {"status"}) == "True";
  });
}

std::string GpuOwnershipProblem(const Json& inventory, const std::string& other_owner) {
  if (JsonString(inventory, {"spec", "gpuOwnership"}) != "Manage")
    return absl::StrCat(
        "gpuOwnership of its NodeInventory is Observe, so its GPUs are not Ashlar's to give",
        other_owner.empty() ? "" : ": they are handed out by ", other_owner);
  if (other_owner.empty() && !HasOwnershipConflict(inventory)) return "";
  return absl::StrCat("its GPUs are handed out by ",
                      other_owner.empty() ? "somebody else" : other_owner,
                      " too (OwnershipConflict), so Ashlar gives none");
}

GpuStock StockOf(const std::vector<GpuNodeFacts>& nodes,
                 const std::vector<v1alpha1::GPUPartitionAllocation>& promised,
                 const std::set<std::string>& own_claims, GpuUse use) {
  Stock stock(own_claims, use);
  for (const GpuNodeFacts& node : nodes) stock.Add(node);
  for (const v1alpha1::GPUPartitionAllocation& part : promised) stock.Promise(part);
  return std::move(stock.stock);
}

bool IsFree(const composer::Inventory& inventory, const v1alpha1::GPUPartitionAllocation& part) {
  for (const composer::NodeDevices& node : inventory.nodes)
    for (const composer::Gpu& gpu : node.gpus) {
      if (node.name != part.node() || gpu.name != part.gpu()) continue;
      if (part.profile().empty()) return !gpu.taken && gpu.gives_whole && gpu.used.Empty();
      if (gpu.layout < 0) return false;
      const MigLayout& layout = inventory.layouts[static_cast<size_t>(gpu.layout)];
      const int profile = layout.Find(part.profile());
      return !gpu.taken && profile >= 0 &&
             layout.CanTake(gpu.used, profile, {part.start(), part.size()});
    }
  return false;
}

}  // namespace ashlar::controller
