// Members come and go, devices fail and heal: nothing is ever given twice. Who owns what is kept
// here a second time, slice by slice and byte by byte.
#include <map>
#include <random>

#include "absl/strings/str_cat.h"
#include "controller/composer/testing/device_scene.h"
#include "gtest/gtest.h"

namespace ashlar::composer {
namespace {

class Ledger {
 public:
  Ledger() : inventory_{{A100Layout()}, {}} {
    for (int n = 0; n < 2; ++n) {
      NodeDevices node;
      node.name = absl::StrCat("n", n);
      for (int i = 0; i < 2; ++i) {
        node.gpus.push_back(GpuAt(i, {i, i, 0}));
        node.drives.push_back(DriveAt(i, {i, i, 0}, 10 * kGi));
      }
      inventory_.nodes.push_back(node);
    }
  }

  void Allocate(std::mt19937& random) {
    MemberRequest member =
        GpusAndVolume(1, static_cast<int64_t>(1 + random() % 4) * kGi, Level::kSwitch,
                      random() % 2 == 0 ? Enforcement::kRequired : Enforcement::kPreferred);
    const std::vector<MigProfile>& profiles = inventory_.layouts[0].profiles();
    const size_t profile = random() % (profiles.size() + 1);
    if (profile < profiles.size()) member.gpus[0].profile = profiles[profile].name;
    const GangRequest request = {.members = {{member, static_cast<int>(1 + random() % 2)}}};
    const GangOutcome outcome = PlaceGang(inventory_, request);
    const GangPlan* plan = std::get_if<GangPlan>(&outcome);
    if (plan == nullptr) return;
    ASSERT_EQ(WrongIn(inventory_, request, *plan), "");
    for (const PlacedMember& placed : plan->members) {
      Own(placed, ++last_);
      Occupy(inventory_.nodes[placed.node], inventory_.layouts, placed.grants);
      live_[last_] = placed;
    }
  }

  void Free(std::mt19937& random) {
    if (live_.empty()) return;
    auto member = live_.begin();
    std::advance(member, random() % live_.size());
    GiveBack(inventory_.nodes[member->second.node], inventory_.layouts, member->second.grants);
    std::erase_if(slices_, [&](const auto& slice) { return slice.second == member->first; });
    for (const DriveGrant& grant : member->second.grants.drives) {
      bytes_[{member->second.node, grant.drive}] -= grant.bytes;
    }
    live_.erase(member);
  }

  // Fails a device, or heals it.
  void Turn(std::mt19937& random) {
    NodeDevices& node = inventory_.nodes[random() % 2];
    std::string& problem =
        random() % 2 == 0 ? node.gpus[random() % 2].problem : node.drives[random() % 2].problem;
    problem = problem.empty() ? "failed" : "";
  }

  void Heal() {
    for (NodeDevices& node : inventory_.nodes) {
      for (Gpu& gpu : node.gpus) gpu.problem.clear();
      for (Drive& drive : node.drives) drive.problem.clear();
    }
  }

  // What is left of everything, when all is healed and freed: everything.
  void ExpectEmpty() {
    std::mt19937 random(0);
    while (!live_.empty()) Free(random);
    for (const NodeDevices& node : inventory_.nodes) {
      for (const Gpu& gpu : node.gpus) {
        EXPECT_FALSE(gpu.taken);
        EXPECT_EQ(gpu.used, MigOccupancy());
      }
      for (const Drive& drive : node.drives) EXPECT_EQ(drive.allocatable_bytes, 10 * kGi);
    }
    EXPECT_TRUE(slices_.empty());
  }

  int last() const { return last_; }

 private:
  void Own(const PlacedMember& placed, int owner) {
    const NodeDevices& node = inventory_.nodes[placed.node];
    for (const GpuGrant& grant : placed.grants.gpus) {
      ASSERT_EQ(node.gpus[grant.gpu].problem, "");
      const MigPlacement slices = grant.profile < 0 ? MigPlacement{0, 8} : grant.placement;
      for (int s = slices.start; s < slices.start + slices.size; ++s) {
        ASSERT_TRUE(slices_.try_emplace({placed.node, grant.gpu, s}, owner).second);
      }
    }
    for (const DriveGrant& grant : placed.grants.drives) {
      ASSERT_EQ(node.drives[grant.drive].problem, "");
      int64_t& sum = bytes_[{placed.node, grant.drive}];
      sum += grant.bytes;
      ASSERT_LE(sum, 10 * kGi);
    }
  }

  Inventory inventory_;
  std::map<int, PlacedMember> live_;
  int last_ = 0;
  std::map<std::tuple<int, int, int>, int> slices_;  // node, GPU, slice: owner
  std::map<std::pair<int, int>, int64_t> bytes_;     // node, drive
};

TEST(LedgerProperty, NothingIsGivenTwiceIn100000RandomSequences) {
  int given = 0;
  for (uint32_t seed = 0; seed < 100'000 && !HasFailure(); ++seed) {
    std::mt19937 random(seed);
    Ledger ledger;
    for (int step = 0; step < 6; ++step) {
      const uint32_t kind = random() % 8;
      if (kind < 4) ledger.Allocate(random);
      if (kind == 4 || kind == 5) ledger.Free(random);
      if (kind == 6) ledger.Turn(random);
      if (kind == 7) ledger.Heal();
    }
    given += ledger.last();
    ledger.ExpectEmpty();
  }
  EXPECT_GT(given, 150'000);
}

}  // namespace
}  // namespace ashlar::composer
