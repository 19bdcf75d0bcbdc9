#include "controller/composer/testing/device_scene.h"

#include <algorithm>
#include <map>
#include <set>

#include "absl/strings/str_cat.h"

namespace ashlar::composer {
namespace {

// What one member of the plan got, checked against what it asked for.
class MemberCheck {
 public:
  MemberCheck(const Inventory& inventory, const MemberRequest& asked, const PlacedMember& placed)
      : inventory_(inventory),
        node_(inventory.nodes[placed.node]),
        asked_(asked),
        placed_(placed) {}

  std::string Wrong() {
    if (!node_.problem.empty()) return "the node takes nothing";
    for (size_t r = 0; r < asked_.gpus.size(); ++r) {
      if (std::string wrong = Gpus(static_cast<int>(r)); !wrong.empty()) return wrong;
    }
    for (size_t r = 0; r < asked_.drives.size(); ++r) {
      if (std::string wrong = OneDrive(static_cast<int>(r)); !wrong.empty()) return wrong;
    }
    if (std::string wrong = Nics(); !wrong.empty()) return wrong;
    return Constraints();
  }

  int missed() const { return missed_; }

 private:
  std::string Gpus(int r) {
    const GpuRequest& asked = asked_.gpus[r];
    int count = 0;
    for (const GpuGrant& grant : placed_.grants.gpus) {
      if (grant.request != r) continue;
      const Gpu& gpu = node_.gpus[grant.gpu];
      if (!gpu.problem.empty()) return "a sick GPU";
      if (asked.profile.empty() != (grant.profile < 0)) return "whole or not";
      if (grant.profile >= 0) {
        const MigProfile& profile = inventory_.layouts[gpu.layout].profiles()[grant.profile];
        if (profile.name != asked.profile) return "profile";
        if (std::count(profile.placements.begin(), profile.placements.end(), grant.placement) !=
            1) {
          return "placement";
        }
      }
      places_[asked.name].push_back(gpu.place);
      ++count;
    }
    return count == asked.count ? "" : "number of GPUs";
  }

  std::string OneDrive(int r) {
    int count = 0;
    for (const DriveGrant& grant : placed_.grants.drives) {
      if (grant.request != r) continue;
      if (!node_.drives[grant.drive].problem.empty()) return "a sick drive";
      if (grant.bytes < asked_.drives[r].bytes) return "bytes";
      places_[asked_.drives[r].name].push_back(node_.drives[grant.drive].place);
      ++count;
    }
    return count == 1 ? "" : "number of drives";
  }

  std::string Nics() {
    std::map<int, std::set<int>> given;  // by request
    for (const NicGrant& grant : placed_.grants.nics) {
      const NicRequest& asked = asked_.nics[grant.request];
      const Nic& nic = node_.nics[grant.nic];
      if (!given[grant.request].insert(grant.nic).second) return "a NIC twice";
      if (!nic.problem.empty()) return "a sick NIC";
      if (asked.rdma && !nic.rdma) return "a NIC without RDMA";
      if (nic.speed_mbits < asked.min_speed_mbits) return "a slow NIC";
      if (!asked.link_layer.empty() && asked.link_layer != nic.link_layer) return "link layer";
      places_[asked.name].push_back(nic.place);
    }
    for (size_t r = 0; r < asked_.nics.size(); ++r)
      if (static_cast<int>(given[static_cast<int>(r)].size()) != asked_.nics[r].count)
        return "number of NICs";
    return "";
  }

  std::string Constraints() {
    for (size_t c = 0; c < asked_.constraints.size(); ++c) {
      const Constraint& constraint = asked_.constraints[c];
      std::vector<Place> all;
      for (const std::string& name : constraint.requests) {
        all.insert(all.end(), places_[name].begin(), places_[name].end());
      }
      int level = 0;
      for (size_t a = 0; a < all.size(); ++a) {
        for (size_t b = a + 1; b < all.size(); ++b) {
          level = std::max(level, static_cast<int>(LevelBetween(all[a], all[b])));
        }
      }
      if (static_cast<int>(placed_.reached[c]) != level) return "reached level";
      const int missed = std::max(0, level - static_cast<int>(constraint.level));
      if (constraint.enforcement == Enforcement::kRequired && missed > 0) return "constraint";
      missed_ += missed;
    }
    return "";
  }

  const Inventory& inventory_;
  const NodeDevices& node_;
  const MemberRequest& asked_;
  const PlacedMember& placed_;
  std::map<std::string, std::vector<Place>> places_;
  int missed_ = 0;
};

// Whether a device is given twice, or more of it than is free.
std::string GivenTwice(const Inventory& inventory, const GangPlan& plan) {
  std::set<std::pair<int, int>> whole, divided;
  std::set<std::tuple<int, int, int>> slices;
  std::map<std::pair<int, int>, int64_t> bytes, nics;
  for (const PlacedMember& member : plan.members) {
    const NodeDevices& node = inventory.nodes[member.node];
    for (const GpuGrant& grant : member.grants.gpus) {
      const std::pair<int, int> key{member.node, grant.gpu};
      const Gpu& gpu = node.gpus[grant.gpu];
      if (gpu.taken || whole.contains(key)) return "a GPU that is taken";
      if (grant.profile < 0) {
        if (!gpu.used.Empty() || divided.contains(key)) return "a GPU in slices";
        whole.insert(key);
        continue;
      }
      divided.insert(key);
      for (int s = grant.placement.start; s < grant.placement.start + grant.placement.size; ++s) {
        if ((gpu.used.memory >> s & 1) != 0) return "a slice that is taken";
        if (!slices.insert({member.node, grant.gpu, s}).second) return "a slice twice";
      }
    }
    for (const DriveGrant& grant : member.grants.drives) {
      int64_t& sum = bytes[{member.node, grant.drive}];
      sum += grant.bytes;
      if (sum > node.drives[grant.drive].allocatable_bytes) return "bytes that are not there";
    }
    for (const NicGrant& grant : member.grants.nics) {
      if (++nics[{member.node, grant.nic}] > node.nics[grant.nic].free) return "a NIC";
    }
  }
  return "";
}

}  // namespace

MigLayout A100Layout() {
  std::vector<MigProfile> profiles = {{"1g.10gb", 1, 0, 7, {}},      {"1g.10gb+me", 1, 1, 1, {}},
                                      {"1g.20gb", 1, 0, 4, {}},      {"2g.20gb", 2, 0, 3, {}},
                                      {"3g.40gb", 3, 0, 2, {}},      {"4g.40gb", 4, 0, 1, {}},
                                      {"7g.80gb", 7, 1, 1, {{0, 8}}}};
  for (int start = 0; start < 7; ++start) {
    profiles[0].placements.push_back({start, 1});
    profiles[1].placements.push_back({start, 1});
  }
  profiles[2].placements = {{0, 2}, {2, 2}, {4, 2}, {6, 2}};
  profiles[3].placements = {{0, 2}, {2, 2}, {4, 2}};
  profiles[4].placements = {{0, 4}, {4, 4}};
  profiles[5].placements = {{0, 4}};
  return MigLayout(8, 7, 1, std::move(profiles));
}

Gpu GpuAt(int number, Place place) {
  Gpu gpu;
  gpu.name = absl::StrCat("gpu", number);
  gpu.product = "A100";
  gpu.place = place;
  gpu.layout = 0;
  return gpu;
}

Drive DriveAt(int number, Place place, int64_t bytes) {
  Drive drive;
  drive.name = absl::StrCat("drive", number);
  drive.place = place;
  drive.kinds = {"File"};
  drive.capacity_bytes = drive.allocatable_bytes = bytes;
  return drive;
}

NodeDevices TwoSockets(const std::string& name) {
  NodeDevices node;
  node.name = name;
  node.switches = {"s0", "s1", "s2", "s3"};
  node.roots = {"r0", "r1", "r2", "r3"};
  for (int i = 0; i < 8; ++i) {
    const Place place{i / 2, i / 2, i / 4};
    node.gpus.push_back(GpuAt(i, place));
    node.drives.push_back(DriveAt(i, place, 1000 * kGi));
  }
  return node;
}

MemberRequest GpusAndVolume(int gpus, int64_t bytes, Level level, Enforcement enforcement) {
  return {.name = "worker",
          .gpus = {{.name = "gpu", .count = gpus}},
          .drives = {{.name = "scratch", .bytes = bytes}},
          .constraints = {{{"gpu", "scratch"}, level, enforcement}}};
}

std::string WrongIn(const Inventory& inventory, const GangRequest& request, const GangPlan& plan) {
  std::map<std::string, const MemberRequest*> asked;
  std::map<std::string, int> left;
  int total = 0;
  for (const GangMembers& members : request.members) {
    asked[members.request.name] = &members.request;
    left[members.request.name] = members.replicas;
    total += members.replicas;
  }
  GangCost cost{.left_out = total - static_cast<int>(plan.members.size())};
  std::set<int> nodes;
  std::set<std::string> required, preferred;
  for (const PlacedMember& member : plan.members) {
    if (--left[member.member] < 0) return "too many members";
    MemberCheck check(inventory, *asked[member.member], member);
    if (std::string wrong = check.Wrong(); !wrong.empty()) return wrong;
    cost.missed_levels += check.missed();
    nodes.insert(member.node);
    std::map<std::string, std::string> labels = inventory.nodes[member.node].labels;
    required.insert(labels[request.required_label]);
    preferred.insert(labels[request.preferred_label]);
  }
  if (!request.required_label.empty() && required.size() > 1) return "required label";
  if (!request.preferred_label.empty()) cost.domains = static_cast<int>(preferred.size());
  cost.nodes = static_cast<int>(nodes.size());
  if (cost != plan.cost) return "cost";
  if (total - cost.left_out < (request.min_members > 0 ? request.min_members : total)) {
    return "too few members";
  }
  return GivenTwice(inventory, plan);
}

}  // namespace ashlar::composer
