// The search against one that tries everything and shares no code with it.
#include <algorithm>
#include <array>
#include <map>
#include <random>

#include "absl/strings/str_cat.h"
#include "controller/composer/member_fit.h"
#include "controller/composer/testing/device_scene.h"
#include "gtest/gtest.h"

namespace ashlar::composer {
namespace {

constexpr Enforcement kRequired = Enforcement::kRequired;
constexpr Enforcement kPreferred = Enforcement::kPreferred;

// Two switches, each below a root of its own, one NUMA node.
Place At(int pcie_switch) { return {pcie_switch, pcie_switch, 0}; }

// Every node of up to two free GPUs and up to two drives with 1 or 2 Gi left, up to the names of
// its switches.
std::vector<NodeDevices> EveryNode() {
  std::vector<NodeDevices> all;
  for (int gpus = 0; gpus < 6; ++gpus) {  // how many at which switch
    for (int drives = 0; drives < 15; ++drives) {
      constexpr int kGpus[6][2] = {{-1, -1}, {0, -1}, {1, -1}, {0, 0}, {0, 1}, {1, 1}};
      NodeDevices node;
      for (const int at : kGpus[gpus]) {
        if (at >= 0) node.gpus.push_back(GpuAt(static_cast<int>(node.gpus.size()), At(at)));
      }
      int pair = drives, first = 0;  // the pairs of 0 (none) to 4, in order
      while (pair >= 5 - first) pair -= 5 - first++;
      for (const int drive : {first, first + pair}) {
        if (drive == 0) continue;
        const int64_t bytes = (1 + (drive - 1) % 2) * kGi;
        node.drives.push_back(
            DriveAt(static_cast<int>(node.drives.size()), At((drive - 1) / 2), bytes));
      }
      // Its mirror image is there already if it begins at the second switch.
      const bool mirrored = !node.gpus.empty()
                                ? node.gpus[0].place.pcie_switch == 1
                                : !node.drives.empty() && node.drives[0].place.pcie_switch == 1;
      if (!mirrored) all.push_back(std::move(node));
    }
  }
  return all;
}

// Of so many members of either group on a node: the fewest levels missed; -1: they don't fit.
using NodeTable = std::array<std::array<int, 4>, 4>;

struct Tables {
  const NodeDevices& node;
  std::vector<bool> taken;
  std::vector<int64_t> left;
  NodeTable best;

  void Try(const std::vector<const MemberRequest*>& members, size_t at, int missed, int& fewest) {
    if (fewest >= 0 && missed >= fewest) return;
    if (at == members.size()) {
      fewest = missed;
      return;
    }
    const MemberRequest& member = *members[at];
    const int count = member.gpus.at(0).count;
    const Constraint& constraint = member.constraints.at(0);
    // Every set of GPUs, every drive.
    for (unsigned set = 0; set < 1U << node.gpus.size(); ++set) {
      if (__builtin_popcount(set) != count) continue;
      std::vector<Place> places;
      bool free = true;
      for (size_t g = 0; g < node.gpus.size(); ++g) {
        if ((set >> g & 1) == 0) continue;
        free = free && !taken[g];
        places.push_back(node.gpus[g].place);
      }
      if (!free) continue;
      for (size_t d = 0; d < node.drives.size(); ++d) {
        const int64_t bytes = member.drives.at(0).bytes;
        if (left[d] < bytes) continue;
        int level = 0;
        places.push_back(node.drives[d].place);
        for (const Place& a : places)
          for (const Place& b : places)
            level = std::max(level, a.pcie_switch == b.pcie_switch ? 0 : 2);
        places.pop_back();
        const int misses = std::max(0, level - static_cast<int>(constraint.level));
        if (misses > 0 && constraint.enforcement == kRequired) continue;
        for (size_t g = 0; g < node.gpus.size(); ++g)
          if ((set >> g & 1) != 0) taken[g] = true;
        left[d] -= bytes;
        Try(members, at + 1, missed + misses, fewest);
        left[d] += bytes;
        for (size_t g = 0; g < node.gpus.size(); ++g)
          if ((set >> g & 1) != 0) taken[g] = false;
      }
    }
  }
};

NodeTable TableOf(const NodeDevices& node, const GangRequest& request) {
  Tables tables{node, std::vector<bool>(node.gpus.size()), {}, {}};
  for (const Drive& drive : node.drives) tables.left.push_back(drive.allocatable_bytes);
  for (int a = 0; a < 4; ++a) {
    for (int b = 0; b < 4; ++b) {
      std::vector<const MemberRequest*> members(a, &request.members[0].request);
      tables.best[a][b] = -1;
      if (b > 0 && request.members.size() < 2) continue;
      for (int i = 0; i < b; ++i) members.push_back(&request.members[1].request);
      tables.Try(members, 0, 0, tables.best[a][b]);
    }
  }
  return tables.best;
}

// The best cost of all ways to share the members out; nothing if there is no way.
std::optional<GangCost> Best(const std::vector<const NodeTable*>& nodes,
                             const std::vector<char>& racks, const GangRequest& request) {
  const int want_a = request.members[0].replicas;
  const int want_b = request.members.size() > 1 ? request.members[1].replicas : 0;
  const int may_leave = request.min_members > 0 ? want_a + want_b - request.min_members : 0;
  std::optional<GangCost> best;
  std::vector<std::pair<int, int>> got(nodes.size());
  auto offer = [&] {
    GangCost cost{.left_out = want_a + want_b};
    unsigned domains = 0;
    int a = 0, b = 0;
    for (size_t i = 0; i < nodes.size(); ++i) {
      if (got[i] == std::pair(0, 0)) continue;
      const int missed = (*nodes[i])[got[i].first][got[i].second];
      if (missed < 0) return;
      a += got[i].first;
      b += got[i].second;
      cost.missed_levels += missed;
      ++cost.nodes;
      domains |= 1U << (racks[i] - 'A');
    }
    cost.left_out -= a + b;
    if (a > want_a || b > want_b || cost.left_out > may_leave) return;
    if (!request.required_label.empty() && __builtin_popcount(domains) > 1) return;
    if (!request.preferred_label.empty()) cost.domains = __builtin_popcount(domains);
    if (!best || cost < *best) best = cost;
  };
  auto each = [&](auto& self, size_t i) -> void {
    if (i == nodes.size()) return offer();
    for (int a = 0; a <= std::min(want_a, 3); ++a) {
      for (int b = 0; b <= std::min(want_b, 3); ++b) {
        if (a + b > 0 && (*nodes[i])[a][b] < 0) continue;
        got[i] = {a, b};
        self(self, i + 1);
      }
    }
  };
  each(each, 0);
  return best;
}

std::vector<GangRequest> Requests() {
  const MemberRequest strict = GpusAndVolume(1, kGi, Level::kSwitch, kRequired);
  const MemberRequest wishing = GpusAndVolume(1, kGi, Level::kSwitch, kPreferred);
  MemberRequest large = GpusAndVolume(1, 2 * kGi, Level::kRoot, kRequired);
  large.name = "large";
  const MemberRequest two = GpusAndVolume(2, kGi, Level::kSwitch, kPreferred);
  return {{.members = {{strict, 3}}},
          {.members = {{wishing, 3}}},
          {.members = {{wishing, 2}, {large, 1}}},
          {.members = {{two, 2}}},
          {.members = {{wishing, 3}}, .min_members = 2},
          {.members = {{wishing, 2}}, .required_label = "rack"},
          {.members = {{strict, 3}}, .preferred_label = "rack", .min_members = 2}};
}

class Comparison {
 public:
  Comparison() : nodes_(EveryNode()), requests_(Requests()) {
    for (const GangRequest& request : requests_) {
      tables_.emplace_back();
      for (const NodeDevices& node : nodes_) tables_.back().push_back(TableOf(node, request));
    }
  }

  // Every inventory of up to three of the nodes. Racks only matter to requests that ask for them.
  void Run() {
    for (size_t a = 0; a < nodes_.size(); ++a) {
      Compare({a}, "A");
      for (size_t b = a; b < nodes_.size(); ++b) {
        Compare({a, b}, "AA");
        Compare({a, b}, "AB");
        for (size_t c = b; c < nodes_.size(); ++c) {
          Compare({a, b, c}, "AAA");
          for (const char* racks : {"AAB", "ABA", "BAA"}) Compare({a, b, c}, racks);
          if (::testing::Test::HasFailure()) return;
        }
      }
    }
  }

  int placed = 0, refused = 0;

 private:
  void Compare(const std::vector<size_t>& chosen, const std::string& racks) {
    Inventory inventory{{A100()}, {}};
    for (size_t i = 0; i < chosen.size(); ++i) {
      inventory.nodes.push_back(nodes_[chosen[i]]);
      inventory.nodes.back().name = absl::StrCat("n", i);
      inventory.nodes.back().labels = {{"rack", racks.substr(i, 1)}};
    }
    const bool one_rack = racks.find('B') == std::string::npos;
    for (size_t r = 0; r < requests_.size(); ++r) {
      const GangRequest& request = requests_[r];
      if (request.required_label.empty() && request.preferred_label.empty() && !one_rack) continue;
      std::vector<const NodeTable*> tables;
      for (const size_t node : chosen) tables.push_back(&tables_[r][node]);
      const std::optional<GangCost> best =
          Best(tables, std::vector<char>(racks.begin(), racks.end()), request);
      const GangOutcome outcome = PlaceGang(inventory, request);
      const GangPlan* plan = std::get_if<GangPlan>(&outcome);
      const std::string where =
          absl::StrCat("request ", r, ", racks ", racks, ", nodes ", chosen[0], " ", chosen.back());
      ASSERT_EQ(plan != nullptr, best.has_value()) << where;
      ++(best ? placed : refused);
      if (plan == nullptr) {
        ASSERT_TRUE(std::get<GangRefusal>(outcome).proven) << where;
        continue;
      }
      ASSERT_EQ(WrongIn(inventory, request, *plan), "") << where;
      ASSERT_TRUE(plan->cost == *best) << where;
      ASSERT_TRUE(plan->proven) << where;
    }
  }

  static MigLayout A100() {
    static const MigLayout layout = A100Layout();
    return layout;
  }

  std::vector<NodeDevices> nodes_;
  std::vector<GangRequest> requests_;
  std::vector<std::vector<NodeTable>> tables_;
};

TEST(PlaceGangProperty, EqualsBruteForceOnEveryCaseOfThreeNodesTwoGpusAndTwoDrives) {
  Comparison comparison;
  comparison.Run();
  std::printf("%d placed, %d refused\n", comparison.placed, comparison.refused);
  EXPECT_GT(comparison.placed, 10'000);
  EXPECT_GT(comparison.refused, 10'000);
}

// Every choice of devices for one member on one node, without bounds and symmetries.
class MemberBruteForce {
 public:
  MemberBruteForce(const NodeDevices& node, const std::vector<MigLayout>& layouts,
                   const MemberRequest& member)
      : node_(node), before_(node), layouts_(layouts), member_(member) {}

  std::optional<FitCost> Run() {
    Gpus(0, 0);
    return best_;
  }

 private:
  void Gpus(size_t request, int number) {
    if (request == member_.gpus.size()) return Drives(0);
    const GpuRequest& asked = member_.gpus[request];
    if (number == asked.count) return Gpus(request + 1, 0);
    for (Gpu& gpu : node_.gpus) {
      if (gpu.taken || !gpu.problem.empty()) continue;
      places_[asked.name].push_back(gpu.place);
      const Gpu was = gpu;
      if (asked.profile.empty()) {
        if (gpu.used.Empty()) {
          gpu.taken = true;
          lost_ += ValueOf(was, layouts_);
          Gpus(request, number + 1);
          lost_ -= ValueOf(was, layouts_);
        }
      } else {
        const MigLayout& layout = layouts_[0];
        const int profile = layout.Find(asked.profile);
        for (const MigPlacement& placement : layout.profiles()[profile].placements) {
          if (!layout.CanTake(was.used, profile, placement)) continue;
          layout.Take(gpu.used, profile, placement);
          const int64_t lost = layout.Value(was.used) - layout.Value(gpu.used);
          lost_ += lost;
          Gpus(request, number + 1);
          lost_ -= lost;
          gpu.used = was.used;
        }
      }
      gpu = was;
      places_[asked.name].pop_back();
    }
  }

  void Drives(size_t request) {
    if (request == member_.drives.size()) return Nics(0, 0, 0);
    const DriveRequest& asked = member_.drives[request];
    for (size_t d = 0; d < node_.drives.size(); ++d) {
      if (node_.drives[d].allocatable_bytes < asked.bytes) continue;
      node_.drives[d].allocatable_bytes -= asked.bytes;
      mebibytes_ += before_.drives[d].allocatable_bytes >> 20;
      places_[asked.name].push_back(node_.drives[d].place);
      Drives(request + 1);
      places_[asked.name].pop_back();
      mebibytes_ -= before_.drives[d].allocatable_bytes >> 20;
      node_.drives[d].allocatable_bytes += asked.bytes;
    }
  }

  // Every set of NICs.
  void Nics(size_t request, size_t from, int number) {
    if (request == member_.nics.size()) return Offer();
    const NicRequest& asked = member_.nics[request];
    if (number == asked.count) return Nics(request + 1, 0, 0);
    for (size_t n = from; n < node_.nics.size(); ++n) {
      const Nic& nic = node_.nics[n];
      if (asked.rdma && !nic.rdma) continue;
      if (nic.speed_mbits < asked.min_speed_mbits) continue;
      places_[asked.name].push_back(nic.place);
      Nics(request, n + 1, number + 1);
      places_[asked.name].pop_back();
    }
  }

  void Offer() {
    int missed = 0;
    for (const Constraint& constraint : member_.constraints) {
      std::vector<Place> all;
      for (const std::string& name : constraint.requests) {
        all.insert(all.end(), places_[name].begin(), places_[name].end());
      }
      int level = 0;
      for (size_t a = 0; a < all.size(); ++a)
        for (size_t b = 0; b < a; ++b)
          level = std::max(level, static_cast<int>(LevelBetween(all[a], all[b])));
      const int misses = std::max(0, level - static_cast<int>(constraint.level));
      if (misses > 0 && constraint.enforcement == kRequired) return;
      missed += misses;
    }
    const FitCost cost{missed, lost_, mebibytes_};
    if (!best_ || cost < *best_) best_ = cost;
  }

  NodeDevices node_;
  const NodeDevices before_;
  const std::vector<MigLayout>& layouts_;
  const MemberRequest& member_;
  std::map<std::string, std::vector<Place>> places_;
  int64_t lost_ = 0, mebibytes_ = 0;
  std::optional<FitCost> best_;
};

NodeDevices RandomNode(std::mt19937& random, const MigLayout& layout) {
  NodeDevices node;
  auto place = [&]() -> Place {
    const int at = static_cast<int>(random() % 4);
    return {at, at / 2 + static_cast<int>(random() % 2), at / 2};
  };
  for (int g = 0; g < 3; ++g) {
    node.gpus.push_back(GpuAt(g, place()));
    if (random() % 3 == 0) continue;
    const int profile = static_cast<int>(random() % layout.profiles().size());
    const std::vector<MigPlacement> free = layout.FreePlacements({}, profile);
    layout.Take(node.gpus[g].used, profile, free[random() % free.size()]);
  }
  for (int d = 0; d < 3; ++d) {
    node.drives.push_back(DriveAt(d, place(), static_cast<int64_t>(1 + random() % 3) * kGi));
  }
  for (int n = 0; n < 3; ++n) {
    node.nics.push_back({.name = absl::StrCat("nic", n),
                         .place = place(),
                         .problem = "",
                         .free = 100,
                         .rdma = random() % 2 == 0,
                         .link_layer = "",
                         .speed_mbits = random() % 2 == 0 ? 100'000 : 400'000});
  }
  return node;
}

MemberRequest RandomMember(std::mt19937& random, const MigLayout& layout) {
  MemberRequest member;
  std::vector<std::string> names;
  for (int i = 0; i < 2; ++i) {
    GpuRequest request{.name = absl::StrCat("g", i), .count = 1 + (random() % 3 == 0 ? 1 : 0)};
    if (random() % 3 != 0) {
      request.profile = layout.profiles()[random() % layout.profiles().size()].name;
      if (i == 1 && random() % 2 == 0) request.profile = member.gpus[0].profile;
    }
    names.push_back(request.name);
    member.gpus.push_back(request);
  }
  for (int i = 0; i < 2; ++i) {
    names.push_back(absl::StrCat("d", i));
    member.drives.push_back(
        {.name = names.back(), .bytes = static_cast<int64_t>(1 + random() % 2) * kGi});
  }
  if (random() % 2 == 0) {
    member.nics.push_back({.name = "n0",
                           .count = 1 + static_cast<int>(random() % 2),
                           .rdma = random() % 2 == 0,
                           .link_layer = "",
                           .min_speed_mbits = random() % 2 == 0 ? 400'000 : 0});
    member.constraints.push_back({{"g0", "n0"}, static_cast<Level>(random() % 3)});
    if (random() % 2 == 0) member.constraints.back().enforcement = kPreferred;
  }
  for (int i = 0; i < 2; ++i) {
    Constraint constraint{{names[i], names[2 + random() % 2]}, static_cast<Level>(random() % 3)};
    if (random() % 4 == 0) constraint.requests.push_back(names[random() % names.size()]);
    std::sort(constraint.requests.begin(), constraint.requests.end());
    constraint.requests.erase(std::unique(constraint.requests.begin(), constraint.requests.end()),
                              constraint.requests.end());
    if (random() % 2 == 0) constraint.enforcement = kPreferred;
    member.constraints.push_back(constraint);
  }
  return member;
}

TEST(FitMemberProperty, CostsWhatBruteForceFinds) {
  std::mt19937 random(20261121);
  const std::vector<MigLayout> layouts = {A100Layout()};
  int found = 0, unproven = 0;
  constexpr int kRounds = 1500;
  for (int round = 0; round < kRounds; ++round) {
    const NodeDevices node = RandomNode(random, layouts[0]);
    const MemberRequest member = RandomMember(random, layouts[0]);
    const std::optional<FitCost> best = MemberBruteForce(node, layouts, member).Run();
    const std::optional<MemberFit> fit = FitMember(node, layouts, member);
    ASSERT_EQ(fit.has_value(), best.has_value()) << "round " << round;
    if (!fit) continue;
    ++found;
    // Four slices may be more than is looked at; all else is the best.
    unproven += fit->proven ? 0 : 1;
    ASSERT_TRUE(fit->cost == *best || !fit->proven) << "round " << round;
  }
  EXPECT_LE(unproven, kRounds / 100);
  EXPECT_GT(found, kRounds / 6);
  EXPECT_LT(found, kRounds * 5 / 6);
}

}  // namespace
}  // namespace ashlar::composer
