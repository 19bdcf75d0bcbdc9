#include "controller/composition/fragment_figures.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace ashlar::controller {
namespace {

using composer::Fragments;
using composer::MemberRequest;
using composer::NodeDevices;
using composer::NodeFragments;

// The smallest volume that is worth a place.
constexpr int64_t kUsualBytes = int64_t{1} << 30;

std::string KeyOf(const composer::Place& place) {
  return absl::StrCat(place.pcie_switch, ",", place.pcie_root, ",", place.numa_node);
}

// Nodes of the same key have the same figures. Names do not matter: no shape names a GPU.
std::string KeyOf(const NodeDevices& node) {
  std::string key =
      absl::StrCat(node.problem.empty(), "/", node.switches.size(), "/", node.roots.size());
  for (const composer::Gpu& gpu : node.gpus)
    absl::StrAppend(&key, "|", gpu.product, ";", KeyOf(gpu.place), ";", gpu.clique, ";",
                    gpu.problem.empty(), gpu.gives_whole, gpu.taken, ";", gpu.layout, ";",
                    gpu.used.memory, ";", gpu.used.compute, ";", gpu.used.media, ";",
                    absl::StrJoin(gpu.used.instances, ","));
  for (const composer::Drive& drive : node.drives)
    absl::StrAppend(&key, "!", KeyOf(drive.place), ";", drive.problem.empty(), ";",
                    absl::StrJoin(drive.kinds, ","), ";", drive.capacity_bytes, ";",
                    drive.allocatable_bytes);
  for (const composer::Nic& nic : node.nics)
    absl::StrAppend(&key, "~", KeyOf(nic.place), ";", nic.problem.empty(), ";", nic.free, ";",
                    nic.rdma, ";", nic.link_layer, ";", nic.speed_mbits);
  return key;
}

std::string KeyOf(const MemberRequest& shape) {
  std::string key;
  for (const composer::GpuRequest& gpu : shape.gpus)
    absl::StrAppend(&key, "|", gpu.name, ";", gpu.count, ";", gpu.profile, ";",
                    absl::StrJoin(gpu.products, ","), ";", gpu.one_clique);
  for (const composer::DriveRequest& drive : shape.drives)
    absl::StrAppend(&key, "!", drive.name, ";", drive.bytes, ";", drive.kind);
  for (const composer::NicRequest& nic : shape.nics)
    absl::StrAppend(&key, "~", nic.name, ";", nic.count, ";", nic.rdma, ";", nic.link_layer, ";",
                    nic.min_speed_mbits);
  for (const composer::Constraint& near : shape.constraints)
    absl::StrAppend(&key, "@", absl::StrJoin(near.requests, ","), ";", static_cast<int>(near.level),
                    ";", static_cast<int>(near.enforcement));
  return key;
}

void Add(const Fragments& part, Fragments& to) {
  to.free_slices += part.free_slices;
  to.stranded_slices += part.stranded_slices;
  to.free_bytes += part.free_bytes;
  to.stranded_bytes += part.stranded_bytes;
}

bool IsStranded(const Fragments& part) {
  return part.stranded_slices > 0 || part.stranded_bytes > 0;
}

void AddPlaces(const NodeDevices& node, const NodeFragments& its, std::vector<StrandedAt>& to) {
  Fragments elsewhere = its.node;
  for (size_t i = 0; i < its.roots.size() && i < node.roots.size(); ++i) {
    elsewhere.free_slices -= its.roots[i].free_slices;
    elsewhere.stranded_slices -= its.roots[i].stranded_slices;
    elsewhere.free_bytes -= its.roots[i].free_bytes;
    elsewhere.stranded_bytes -= its.roots[i].stranded_bytes;
    if (IsStranded(its.roots[i])) to.push_back({node.name, node.roots[i], its.roots[i]});
  }
  if (IsStranded(elsewhere)) to.push_back({node.name, "", elsewhere});
}

}  // namespace

std::vector<MemberRequest> UsualShapes(const std::vector<composer::MigLayout>& layouts) {
  std::vector<std::string> profiles = {""};
  for (const composer::MigLayout& layout : layouts)
    for (const composer::MigProfile& profile : layout.profiles())
      if (std::find(profiles.begin(), profiles.end(), profile.name) == profiles.end())
        profiles.push_back(profile.name);
  std::vector<MemberRequest> shapes;
  for (const std::string& profile : profiles)
    shapes.push_back({.name = "usual",
                      .gpus = {{.name = "gpu", .profile = profile}},
                      .drives = {{.name = "bytes", .bytes = kUsualBytes}},
                      .constraints = {{{"gpu", "bytes"}, composer::Level::kRoot}}});
  return shapes;
}

FragmentFigures FragmentCounter::Count(const composer::Inventory& inventory,
                                       const std::vector<MemberRequest>& shapes,
                                       size_t most_nodes) {
  std::string key;
  for (const MemberRequest& shape : shapes) absl::StrAppend(&key, "#", KeyOf(shape));
  // Layouts have numbers, which nodes name.
  for (const composer::MigLayout& layout : inventory.layouts)
    for (const composer::MigProfile& profile : layout.profiles())
      absl::StrAppend(&key, "&", profile.name, profile.placements.size());
  if (key != shapes_) known_.clear();
  shapes_ = std::move(key);
  looked_at_ = 0;
  std::map<std::string, NodeFragments> now;
  FragmentFigures figures;
  std::vector<std::pair<const NodeDevices*, const NodeFragments*>> stranded;
  for (const NodeDevices& node : inventory.nodes) {
    if (std::all_of(node.gpus.begin(), node.gpus.end(),
                    [](const composer::Gpu& gpu) { return !gpu.problem.empty(); }))
      continue;
    const std::string name = KeyOf(node);
    auto found = now.find(name);
    if (found == now.end()) {
      const auto known = known_.find(name);
      looked_at_ += known == known_.end() ? 1 : 0;
      found = now.emplace(name, known == known_.end()
                                    ? composer::FragmentsOf(node, inventory.layouts, shapes)
                                    : std::move(known->second))
                  .first;
    }
    Add(found->second.node, figures.all);
    if (IsStranded(found->second.node)) stranded.emplace_back(&node, &found->second);
  }
  std::sort(stranded.begin(), stranded.end(), [](const auto& a, const auto& b) {
    const Fragments &x = a.second->node, &y = b.second->node;
    if (x.stranded_slices != y.stranded_slices) return x.stranded_slices > y.stranded_slices;
    if (x.stranded_bytes != y.stranded_bytes) return x.stranded_bytes > y.stranded_bytes;
    return a.first->name < b.first->name;
  });
  if (stranded.size() > most_nodes) stranded.resize(most_nodes);
  for (const auto& [node, its] : stranded) AddPlaces(*node, *its, figures.worst);
  known_ = std::move(now);
  return figures;
}

}  // namespace ashlar::controller
