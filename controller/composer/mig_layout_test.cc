#include "controller/composer/mig_layout.h"

#include <random>

#include "controller/composer/testing/device_scene.h"
#include "gtest/gtest.h"

namespace ashlar::composer {
namespace {

const MigLayout kLayout = A100Layout();

MigOccupancy With(std::vector<std::pair<const char*, int>> instances) {
  MigOccupancy used;
  for (const auto& [name, start] : instances) {
    const int profile = kLayout.Find(name);
    const int size = kLayout.profiles()[profile].placements[0].size;
    EXPECT_TRUE(kLayout.CanTake(used, profile, {start, size})) << name;
    kLayout.Take(used, profile, {start, size});
  }
  return used;
}

int BestStart(const MigOccupancy& used, const char* profile) {
  const auto best = kLayout.BestPlacement(used, kLayout.Find(profile));
  return best ? best->start : -1;
}

TEST(MigLayout, SmallInstancesGoWhereTheyLeaveLargePlacesFree) {
  EXPECT_EQ(BestStart({}, "1g.10gb"), 6);
  EXPECT_EQ(BestStart(With({{"1g.10gb", 6}}), "1g.10gb"), 4);
  EXPECT_EQ(BestStart({}, "2g.20gb"), 4);
  EXPECT_EQ(BestStart({}, "3g.40gb"), 4);
  EXPECT_EQ(BestStart({}, "1g.20gb"), 6);
  EXPECT_EQ(BestStart(With({{"3g.40gb", 0}}), "1g.10gb"), 6);
  EXPECT_EQ(BestStart(With({{"4g.40gb", 0}}), "4g.40gb"), -1);
}

TEST(MigLayout, SharedComputeMediaAndNumbersBoundInstances) {
  // Two of 3g use all memory slices and leave one compute slice that nothing can use.
  EXPECT_EQ(kLayout.Remaining(With({{"3g.40gb", 0}, {"3g.40gb", 4}}), kLayout.Find("1g.10gb")), 0);
  EXPECT_EQ(kLayout.Remaining({}, kLayout.Find("1g.10gb")), 7);
  EXPECT_EQ(kLayout.Remaining({}, kLayout.Find("1g.10gb+me")), 1);
  EXPECT_EQ(kLayout.Remaining(With({{"1g.10gb+me", 6}}), kLayout.Find("1g.10gb+me")), 0);
  // 4g and three of 1g use the seven compute slices.
  const MigOccupancy full = With({{"4g.40gb", 0}, {"1g.10gb", 4}, {"1g.10gb", 5}, {"1g.10gb", 6}});
  for (size_t i = 0; i < kLayout.profiles().size(); ++i) {
    EXPECT_EQ(kLayout.Remaining(full, static_cast<int>(i)), 0);
  }
}

TEST(MigLayout, GivingBackUndoesTaking) {
  MigOccupancy used = With({{"2g.20gb", 4}});
  const MigOccupancy before = used;
  const int profile = kLayout.Find("3g.40gb");
  kLayout.Take(used, profile, {0, 4});
  EXPECT_NE(used, before);
  kLayout.GiveBack(used, profile, {0, 4});
  EXPECT_EQ(used, before);
}

TEST(MigLayout, PlacementsBeyondTheMemoryAreLeftOut) {
  const MigLayout odd(4, 4, 0, {{"a", 1, 0, 9, {{3, 2}, {-1, 1}, {0, 0}, {3, 1}}}});
  EXPECT_EQ(odd.FreePlacements({}, 0), (std::vector<MigPlacement>{{3, 1}}));
}

// The most that a set of further instances can be worth, all sets tried: counts by kind, the
// largest kind first, each kind alone.
int MostByTrying(const MigOccupancy& used, int profile) {
  int most = 0;
  for (const MigPlacement& placement : kLayout.FreePlacements(used, profile)) {
    MigOccupancy then = used;
    kLayout.Take(then, profile, placement);
    most = std::max(most, 1 + MostByTrying(then, profile));
  }
  return most;
}

TEST(MigLayout, BestFitEqualsBruteForceInEveryStateThatCanBeReached) {
  const char* kBySize[] = {"7g.80gb", "4g.40gb", "3g.40gb", "2g.20gb", "1g.20gb", "1g.10gb"};
  std::vector<MigOccupancy> states = {{}};
  for (size_t s = 0; s < states.size(); ++s) {
    for (int p = 0; p < static_cast<int>(kLayout.profiles().size()); ++p) {
      std::vector<int> best_worth;
      int best_start = -1;
      for (const MigPlacement& placement : kLayout.FreePlacements(states[s], p)) {
        MigOccupancy then = states[s];
        kLayout.Take(then, p, placement);
        if (std::find(states.begin(), states.end(), then) == states.end()) states.push_back(then);
        std::vector<int> worth;
        for (const char* name : kBySize) worth.push_back(MostByTrying(then, kLayout.Find(name)));
        if (best_start >= 0 && worth <= best_worth) continue;
        best_worth = worth;
        best_start = placement.start;
      }
      const auto best = kLayout.BestPlacement(states[s], p);
      ASSERT_EQ(best ? best->start : -1, best_start);
    }
  }
  EXPECT_GT(states.size(), 300U);
}

struct Sequence {
  int large_that_fit = 0;  // 3g and 4g places, summed over the moments
  int refused = 0;         // allocations
};

// One GPU after another is tried: best fit or first fit within it.
Sequence RunSequence(uint32_t seed, bool best_fit) {
  std::mt19937 random(seed);
  Sequence result;
  std::vector<std::tuple<int, int, MigPlacement>> live;
  std::vector<MigOccupancy> gpus(4);
  for (int step = 0; step < 400; ++step) {
    // The same draws, whatever fits.
    const uint32_t kind = random() % 100, which = random();
    if (kind < 50) {
      const int profile = kLayout.Find(kind < 28 ? "1g.10gb" : kind < 42 ? "2g.20gb" : "3g.40gb");
      bool done = false;
      for (int g = 0; g < 4 && !done; ++g) {
        const std::vector<MigPlacement> free = kLayout.FreePlacements(gpus[g], profile);
        if (free.empty()) continue;
        const MigPlacement at = best_fit ? *kLayout.BestPlacement(gpus[g], profile) : free.front();
        kLayout.Take(gpus[g], profile, at);
        live.emplace_back(g, profile, at);
        done = true;
      }
      result.refused += done ? 0 : 1;
    } else if (!live.empty()) {
      const auto [g, profile, at] = live[which % live.size()];
      kLayout.GiveBack(gpus[g], profile, at);
      live.erase(live.begin() + static_cast<long>(which % live.size()));
    }
    for (const MigOccupancy& gpu : gpus) {
      result.large_that_fit += kLayout.Remaining(gpu, kLayout.Find("3g.40gb")) +
                               kLayout.Remaining(gpu, kLayout.Find("4g.40gb"));
    }
  }
  return result;
}

TEST(MigLayout, BestFitKeepsMoreLargePlacesThanFirstFit) {
  Sequence best, first;
  for (uint32_t seed = 0; seed < 200; ++seed) {
    const Sequence a = RunSequence(seed, true), b = RunSequence(seed, false);
    best.large_that_fit += a.large_that_fit;
    best.refused += a.refused;
    first.large_that_fit += b.large_that_fit;
    first.refused += b.refused;
  }
  std::printf("large places free: best fit %d, first fit %d; refused: %d, %d\n",
              best.large_that_fit, first.large_that_fit, best.refused, first.refused);
  EXPECT_GT(best.large_that_fit, first.large_that_fit * 104 / 100);
  EXPECT_LE(best.refused, first.refused);
}

}  // namespace
}  // namespace ashlar::composer
