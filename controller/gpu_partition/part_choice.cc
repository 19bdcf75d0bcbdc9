#include "controller/gpu_partition/part_choice.h"

#include <algorithm>
#include <optional>
#include <tuple>

#include "absl/strings/str_cat.h"
#include "controller/composer/fit_search.h"
#include "controller/composer/gang.h"
#include "controller/dra_names/device_names.h"

namespace ashlar::controller {
namespace {

using composer::Grants;
using composer::NodeDevices;
using v1alpha1::GPUPartitionAllocation;
using v1alpha1::GPUPartitionSpec;

template <class List>
bool Names(const List& list, const std::string& name) {
  return list.empty() || std::find(list.begin(), list.end(), name) != list.end();
}

// Profiles that will do, the smallest first.
std::vector<std::string> ProfilesFor(const GpuStock& stock, const GPUPartitionSpec& spec) {
  if (!spec.profile().empty()) return {spec.profile()};
  std::vector<std::tuple<int64_t, int, std::string>> found;
  for (const auto& [name, facts] : stock.profiles)
    if (facts.memory >= spec.min_resources().memory() &&
        facts.compute_slices >= spec.min_resources().compute_slices())
      found.emplace_back(facts.memory, facts.compute_slices, name);
  std::sort(found.begin(), found.end());
  std::vector<std::string> names;
  for (const auto& [memory, compute, name] : found) names.push_back(name);
  return names;
}

composer::MemberRequest RequestFor(const GpuStock& stock, const GPUPartitionSpec& spec,
                                   const std::string& profile) {
  composer::GpuRequest gpu{.name = "parts", .count = spec.count(), .profile = profile};
  const v1alpha1::GPUSelection& wanted = spec.gpus();
  gpu.products.assign(wanted.products().begin(), wanted.products().end());
  if (!wanted.architectures().empty() || !wanted.names().empty()) {
    for (const auto& [uuid, architecture] : stock.architectures)
      if (Names(wanted.architectures(), architecture) && Names(wanted.names(), uuid))
        gpu.gpus.push_back(uuid);
    if (gpu.gpus.empty()) gpu.gpus.emplace_back("none");
  }
  return {.name = "parts", .gpus = {gpu}};
}

// Each part on the GPU of which most is left. Nothing: not on this node.
std::optional<Grants> SpreadOver(NodeDevices node, const std::vector<composer::MigLayout>& layouts,
                                 const composer::GpuRequest& request) {
  Grants all;
  for (int part = 0; part < request.count; ++part) {
    std::optional<composer::GpuGrant> best;
    int64_t most = 0;
    for (size_t i = 0; i < node.gpus.size(); ++i) {
      const composer::Gpu& gpu = node.gpus[i];
      if (!gpu.problem.empty() || gpu.taken || !composer::MayUse(request, gpu, layouts)) continue;
      const composer::MigLayout& layout = layouts[static_cast<size_t>(gpu.layout)];
      const int profile = layout.Find(request.profile);
      const auto place = layout.BestPlacement(gpu.used, profile);
      const int64_t value = composer::ValueOf(gpu, layouts);
      if (!place || value <= most) continue;
      most = value;
      best = composer::GpuGrant{0, static_cast<int>(i), profile, *place};
    }
    if (!best) return std::nullopt;
    Grants one;
    one.gpus.push_back(*best);
    composer::Occupy(node, layouts, one);
    all.gpus.push_back(*best);
  }
  return all;
}

std::vector<GPUPartitionAllocation> AllocationsOf(const NodeDevices& node, const Grants& grants,
                                                  const std::string& profile) {
  std::vector<GPUPartitionAllocation> parts;
  for (const composer::GpuGrant& grant : grants.gpus) {
    GPUPartitionAllocation& part = parts.emplace_back();
    part.set_request(absl::StrCat("part-", parts.size() - 1));
    part.set_node(node.name);
    part.set_gpu(node.gpus[static_cast<size_t>(grant.gpu)].name);
    part.set_profile(profile);
    part.set_start(grant.placement.start);
    part.set_size(grant.placement.size);
    part.set_device(GpuPartDeviceName(part.gpu(), profile, part.start(), part.size()));
  }
  return parts;
}

std::optional<std::vector<GPUPartitionAllocation>> Spread(const GpuStock& stock,
                                                          const composer::MemberRequest& member) {
  const auto& [layouts, nodes] = stock.inventory;
  std::optional<std::vector<GPUPartitionAllocation>> best;
  int64_t most = -1;
  for (const NodeDevices& node : nodes) {
    if (!node.problem.empty()) continue;
    int64_t value = 0;
    for (const composer::Gpu& gpu : node.gpus) value += composer::ValueOf(gpu, layouts);
    if (value <= most) continue;
    const std::optional<Grants> grants = SpreadOver(node, layouts, member.gpus[0]);
    if (!grants) continue;
    most = value;
    best = AllocationsOf(node, *grants, member.gpus[0].profile);
  }
  return best;
}

}  // namespace

PartChoice ChooseParts(const GpuStock& stock, const GPUPartitionSpec& spec) {
  if (stock.inventory.nodes.empty())
    return NoParts{"NoNodes",
                   "no node that spec.nodeSelector names has a NodeInventory with gpuOwnership "
                   "Manage"};
  const std::vector<std::string> profiles = ProfilesFor(stock, spec);
  if (profiles.empty() || (!spec.profile().empty() && !stock.profiles.contains(spec.profile())))
    return NoParts{"NoSuchProfile", "no GPU of these nodes can be divided so"};
  std::string why;
  for (const std::string& profile : profiles) {
    const composer::MemberRequest member = RequestFor(stock, spec, profile);
    if (spec.placement_policy() == "Spread")
      if (auto parts = Spread(stock, member)) return *std::move(parts);
    const composer::GangOutcome outcome =
        composer::PlaceGang(stock.inventory, {.members = {{.request = member}}});
    if (const auto* plan = std::get_if<composer::GangPlan>(&outcome)) {
      const composer::PlacedMember& placed = plan->members.at(0);
      return AllocationsOf(stock.inventory.nodes[static_cast<size_t>(placed.node)], placed.grants,
                           profile);
    }
    if (why.empty()) why = std::get<composer::GangRefusal>(outcome).Explain();
  }
  return NoParts{"NoRoom", why};
}

}  // namespace ashlar::controller
