#include "controller/composer/fit_problem.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "controller/placement/placement.h"

namespace ashlar::composer {
namespace {

// Adds the requests and constraints of one member.
void AddMember(const MemberRequest& member, FitProblem& problem) {
  std::map<std::string, int> part_of;
  auto add = [&](const std::string& name, FitPart part) {
    part.member = problem.members;
    part_of[name] = static_cast<int>(problem.parts.size());
    problem.parts.push_back(std::move(part));
  };
  for (size_t i = 0; i < member.gpus.size(); ++i) {
    add(member.gpus[i].name, {.request = static_cast<int>(i), .gpu = &member.gpus[i]});
  }
  for (size_t i = 0; i < member.drives.size(); ++i) {
    add(member.drives[i].name,
        {.kind = DeviceKind::kDrive,
         .request = static_cast<int>(i),
         .drive = &member.drives[i],
         .bytes = controller::RoundedVolumeBytes(std::max<int64_t>(0, member.drives[i].bytes))});
  }
  for (size_t i = 0; i < member.nics.size(); ++i) {
    add(member.nics[i].name,
        {.kind = DeviceKind::kNic, .request = static_cast<int>(i), .nic = &member.nics[i]});
  }
  for (size_t i = 0; i < member.constraints.size(); ++i) {
    const Constraint& constraint = member.constraints[i];
    FitBond bond{
        problem.members, static_cast<int>(i), constraint.level, constraint.enforcement, {}};
    for (const std::string& name : constraint.requests) {
      const auto part = part_of.find(name);
      if (part == part_of.end()) continue;
      if (std::find(bond.parts.begin(), bond.parts.end(), part->second) != bond.parts.end()) {
        continue;
      }
      bond.parts.push_back(part->second);
      problem.parts[part->second].bonds.push_back(static_cast<int>(problem.bonds.size()));
    }
    problem.bonds.push_back(std::move(bond));
  }
  ++problem.members;
}

// Parts that bonds hold together, each group in the order of its parts.
std::vector<std::vector<int>> Clusters(const FitProblem& problem) {
  std::vector<int> root(problem.parts.size());
  std::iota(root.begin(), root.end(), 0);
  auto find = [&](int part) {
    while (root[part] != part) part = root[part];
    return part;
  };
  for (const FitBond& bond : problem.bonds) {
    for (size_t i = 1; i < bond.parts.size(); ++i) {
      const int a = find(bond.parts[0]), b = find(bond.parts[i]);
      root[std::max(a, b)] = std::min(a, b);
    }
  }
  std::map<int, std::vector<int>> clusters;
  for (size_t i = 0; i < problem.parts.size(); ++i) {
    clusters[find(static_cast<int>(i))].push_back(static_cast<int>(i));
  }
  std::vector<std::vector<int>> all;
  for (auto& [first, parts] : clusters) all.push_back(std::move(parts));
  return all;
}

// Equal for clusters that ask for the same, in the same order.
std::string Shape(const FitProblem& problem, const std::vector<int>& cluster) {
  std::string shape;
  std::map<int, std::string> bonds;
  for (size_t i = 0; i < cluster.size(); ++i) {
    const FitPart& part = problem.parts[cluster[i]];
    absl::StrAppend(&shape, static_cast<int>(part.kind));
    if (part.gpu != nullptr) {
      absl::StrAppend(&shape, ",", part.gpu->count, ",", part.gpu->profile, ",",
                      absl::StrJoin(part.gpu->products, "|"), ",",
                      absl::StrJoin(part.gpu->gpus, "|"), ",", part.gpu->one_clique);
    }
    if (part.drive != nullptr) {
      absl::StrAppend(&shape, ",", part.bytes, ",", part.drive->kind, ",", part.drive->whole_drive);
    }
    if (part.nic != nullptr) {
      absl::StrAppend(&shape, ",", part.nic->count, ",", part.nic->rdma, ",", part.nic->link_layer,
                      ",", part.nic->min_speed_mbits);
    }
    absl::StrAppend(&shape, ";");
    for (const int bond : part.bonds) absl::StrAppend(&bonds[bond], i, ",");
  }
  for (const auto& [bond, parts] : bonds) {
    absl::StrAppend(&shape, "[", static_cast<int>(problem.bonds[bond].level), ",",
                    static_cast<int>(problem.bonds[bond].enforcement), ":", parts, "]");
  }
  return shape;
}

// What is hardest to place comes first: many or whole GPUs, then many bytes.
std::pair<int64_t, int64_t> Ease(const FitProblem& problem, const std::vector<int>& cluster) {
  int64_t gpus = 0, bytes = 0;
  for (const int index : cluster) {
    const FitPart& part = problem.parts[index];
    if (part.gpu != nullptr) gpus += part.gpu->count * (part.gpu->profile.empty() ? 16 : 1);
    bytes = std::max(bytes, part.bytes);
  }
  return {-gpus, -bytes};
}

}  // namespace

int UnitsOf(const FitPart& part) {
  if (part.gpu != nullptr) return part.gpu->count;
  return part.nic != nullptr ? part.nic->count : 1;
}

FitProblem MakeFitProblem(const std::vector<const MemberRequest*>& members) {
  FitProblem problem;
  for (const MemberRequest* member : members) AddMember(*member, problem);
  std::vector<std::vector<int>> clusters = Clusters(problem);
  std::stable_sort(clusters.begin(), clusters.end(), [&](const auto& a, const auto& b) {
    return Ease(problem, a) < Ease(problem, b);
  });
  std::map<std::string, int> first_unit;  // of the last cluster of a shape
  for (const std::vector<int>& cluster : clusters) {
    const int begin = static_cast<int>(problem.units.size());
    for (const int part : cluster) {
      for (int i = 0; i < UnitsOf(problem.parts[part]); ++i) {
        const int before = static_cast<int>(problem.units.size()) - 1;
        problem.units.push_back({part, i == 0 ? -1 : before});
      }
    }
    if (static_cast<int>(problem.units.size()) == begin) continue;
    if (clusters.size() == 1) continue;
    const auto [twin, is_new] = first_unit.try_emplace(Shape(problem, cluster), begin);
    if (!is_new) problem.units[begin].twin = twin->second;
    twin->second = begin;
  }
  return problem;
}

}  // namespace ashlar::composer
