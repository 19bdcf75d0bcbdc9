#include "controller/composer/node_class.h"

#include <algorithm>
#include <limits>
#include <memory>
#include <numeric>
#include <string>

#include "controller/placement/placement.h"

namespace ashlar::composer {
namespace {

// Steps of one search: problems of many devices end with the best of a few, which is nearly always
// the first.
constexpr int kStepsOfFewUnits = 20'000;
constexpr int kStepsOfManyUnits = 2'000;
constexpr size_t kFewUnits = 18;

void Put(std::string& key, int64_t number) {
  key.append(reinterpret_cast<const char*>(&number), sizeof number);
}

void Put(std::string& key, const std::string& text) {
  Put(key, static_cast<int64_t>(text.size()));
  key.append(text);
}

// Numbers of places are small, and -1.
void Put(std::string& key, const Place& place) {
  Put(key, ((place.pcie_switch + int64_t{1}) << 42) + ((place.pcie_root + int64_t{1}) << 21) +
               place.numa_node + 1);
}

void PutGpu(std::string& key, const Gpu& gpu) {
  Put(key, gpu.problem);  // a refusal says it
  Put(key, gpu.taken ? 1 : 0);
  if (gpu.taken || !gpu.problem.empty()) return;
  Put(key, gpu.place);
  Put(key, (int64_t{gpu.clique} << 24) + (int64_t{gpu.layout} << 1) + (gpu.gives_whole ? 1 : 0));
  Put(key, gpu.product);
  Put(key, static_cast<int64_t>(gpu.used.memory));
  if (gpu.used.Empty()) return;
  Put(key, (int64_t{gpu.used.compute} << 32) + gpu.used.media);
  key.append(reinterpret_cast<const char*>(gpu.used.instances.data()), gpu.used.instances.size());
}

int Units(const MemberRequest& member) {
  int units = 0;
  for (const GpuRequest& request : member.gpus) units += std::max(0, request.count);
  return units;
}

}  // namespace

NodeClasses::NodeClasses(const Inventory& inventory,
                         const std::vector<const MemberRequest*>& groups,
                         const std::vector<int>& replicas)
    : inventory_(inventory), groups_(groups), replicas_(replicas) {
  for (const MemberRequest* group : groups) {
    for (const DriveRequest& request : group->drives) {
      unit_bytes_ = std::gcd(unit_bytes_, controller::RoundedVolumeBytes(request.bytes));
    }
    for (const GpuRequest& request : group->gpus) names_gpus_ |= !request.gpus.empty();
    asks_nics_ |= !group->nics.empty();
  }
  std::vector<int> by_name(inventory.nodes.size());
  std::iota(by_name.begin(), by_name.end(), 0);
  std::sort(by_name.begin(), by_name.end(),
            [&](int a, int b) { return inventory.nodes[a].name < inventory.nodes[b].name; });
  absl::flat_hash_map<std::string, int> classes;
  class_of_.assign(inventory.nodes.size(), -1);
  for (const int i : by_name) {
    if (!inventory.nodes[i].problem.empty()) continue;
    const auto [entry, is_new] = classes.try_emplace(KeyOf(inventory.nodes[i]), size());
    class_of_[i] = entry->second;
    if (!is_new) continue;
    example_.push_back(i);
    fits_.emplace_back();
    FindMost(entry->second);
  }
}

// No node can hold more bytes of the gang than its members that can be there have.
int64_t NodeClasses::BytesThatCount(const NodeDevices& node) const {
  double bytes = 0;
  for (size_t g = 0; g < groups_.size(); ++g) {
    for (const DriveRequest& request : groups_[g]->drives) {
      bytes += static_cast<double>(controller::RoundedVolumeBytes(request.bytes)) *
               MostThinkable(node, static_cast<int>(g));
    }
  }
  constexpr double kTooMuch = 9e18;
  return bytes < kTooMuch ? static_cast<int64_t>(bytes) : std::numeric_limits<int64_t>::max();
}

std::string NodeClasses::KeyOf(const NodeDevices& node) const {
  std::string key;
  key.reserve(1024);
  const int64_t most_bytes = BytesThatCount(node);
  for (const Gpu& gpu : node.gpus) {
    PutGpu(key, gpu);
    if (names_gpus_) Put(key, gpu.name);
  }
  Put(key, -1);
  for (const Drive& drive : node.drives) {
    int64_t bytes = drive.problem.empty() ? std::min(drive.allocatable_bytes, most_bytes) : -1;
    if (bytes > 0 && unit_bytes_ > 0) bytes -= bytes % unit_bytes_;
    Put(key, bytes);
    Put(key, drive.place);
    Put(key, drive.allocatable_bytes == drive.capacity_bytes ? 1 : 0);
    Put(key, static_cast<int64_t>(drive.kinds.size()));
    for (const std::string& kind : drive.kinds) Put(key, kind);
  }
  Put(key, -1);
  for (const Nic& nic : node.nics) {
    if (!asks_nics_) break;
    Put(key, nic.problem.empty() ? nic.free : 0);
    Put(key, nic.place);
    Put(key, nic.rdma ? 1 : 0);
    Put(key, nic.link_layer);
    Put(key, nic.speed_mbits);
  }
  return key;
}

// No more than this fit, however they are arranged.
int NodeClasses::MostThinkable(const NodeDevices& node, int group) const {
  const MemberRequest& member = *groups_[group];
  int64_t most = replicas_[group];
  if (const int units = Units(member); units > 0) {
    const bool whole = std::all_of(member.gpus.begin(), member.gpus.end(),
                                   [](const auto& request) { return request.profile.empty(); });
    int64_t places = 0;
    for (const Gpu& gpu : node.gpus) {
      if (gpu.taken || !gpu.problem.empty()) continue;
      places += whole || gpu.layout < 0 ? 1 : inventory_.layouts[gpu.layout].memory_slices();
    }
    most = std::min(most, places / units);
  }
  double wanted = 0, left = 0;
  for (const DriveRequest& request : member.drives) wanted += static_cast<double>(request.bytes);
  for (const Drive& drive : node.drives) left += static_cast<double>(drive.allocatable_bytes);
  if (wanted > 0) most = std::min(most, static_cast<int64_t>(left / wanted) + 1);
  int64_t nics = 0, nics_wanted = 0;
  for (const Nic& nic : node.nics) nics += std::max(0, nic.free);
  for (const NicRequest& request : member.nics) nics_wanted += std::max(0, request.count);
  if (nics_wanted > 0) most = std::min(most, nics / nics_wanted);
  return static_cast<int>(std::max<int64_t>(0, most));
}

// The same, looking at each request by itself.
int NodeClasses::MostOfRequests(const NodeDevices& node, int group) const {
  int64_t most = MostThinkable(node, group);
  for (const GpuRequest& request : groups_[group]->gpus) {
    int64_t places = 0;
    for (const Gpu& gpu : node.gpus) {
      if (gpu.taken || !MayUse(request, gpu, inventory_.layouts)) continue;
      if (request.profile.empty()) {
        places += gpu.used.Empty() ? 1 : 0;
      } else {
        const MigLayout& layout = inventory_.layouts[gpu.layout];
        places += layout.Remaining(gpu.used, layout.Find(request.profile));
      }
    }
    if (request.count > 0) most = std::min(most, places / request.count);
  }
  for (const DriveRequest& request : groups_[group]->drives) {
    const int64_t bytes = std::max<int64_t>(1, controller::RoundedVolumeBytes(request.bytes));
    int64_t places = 0;
    for (const Drive& drive : node.drives) {
      if (!CanHold(drive, request, bytes, drive.allocatable_bytes)) continue;
      places += request.whole_drive
                    ? 1
                    : std::min<int64_t>(replicas_[group], drive.allocatable_bytes / bytes);
    }
    if (request.bytes > 0) most = std::min(most, places);
  }
  return static_cast<int>(most);
}

void NodeClasses::FindMost(int node_class) {
  most_.emplace_back(groups_.size(), 0);
  for (size_t g = 0; g < groups_.size(); ++g) {
    GroupCounts counts(groups_.size(), 0);
    int fits = 0;
    int too_many = MostOfRequests(inventory_.nodes[example_[node_class]], static_cast<int>(g)) + 1;
    for (int next = too_many - 1; fits + 1 < too_many; next = fits + (too_many - fits) / 2) {
      counts[g] = next;
      (Fit(node_class, counts) != nullptr ? fits : too_many) = next;
    }
    most_[node_class][g] = fits;
  }
}

const ClassFit* NodeClasses::Fit(int node_class, const GroupCounts& counts) {
  const auto [entry, is_new] = fits_[node_class].try_emplace(counts, nullptr);
  if (!is_new) return entry->second.get();
  std::vector<const MemberRequest*> members;
  for (size_t g = 0; g < counts.size(); ++g) members.insert(members.end(), counts[g], groups_[g]);
  auto fit = std::make_unique<ClassFit>();
  fit->problem = MakeFitProblem(members);
  const bool few = fit->problem.units.size() <= kFewUnits;
  const NodeDevices& node = inventory_.nodes[example_[node_class]];
  fit->answer = SearchFit(
      node, inventory_.layouts, fit->problem,
      {.steps = few ? kStepsOfFewUnits : kStepsOfManyUnits, .levels_only = members.size() > 1});
  proven_ = proven_ && fit->answer.proven;
  if (fit->answer.found) entry->second = std::move(fit);
  return entry->second.get();
}

const ClassFit* NodeClasses::Known(int node_class, const GroupCounts& counts) const {
  const auto entry = fits_[node_class].find(counts);
  return entry == fits_[node_class].end() ? nullptr : entry->second.get();
}

}  // namespace ashlar::composer
