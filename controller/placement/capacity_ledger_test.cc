#include "controller/placement/capacity_ledger.h"

#include <algorithm>
#include <limits>
#include <map>
#include <numeric>
#include <random>
#include <thread>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace ashlar::controller {
namespace {

using ::testing::HasSubstr;

constexpr int64_t kMi = int64_t{1} << 20;

NodeReport Report(int64_t allocatable, std::map<std::string, int64_t> volumes = {}) {
  NodeReport report;
  report.pools["fast"] = {
      .ready = true, .allocatable_bytes = allocatable, .largest_bytes = allocatable};
  for (const auto& [name, bytes] : volumes) report.volume_bytes[name] = bytes;
  return report;
}

std::vector<NodeOffer> Offers(std::vector<std::string> nodes) {
  std::vector<NodeOffer> offers;
  for (const std::string& node : nodes) {
    offers.push_back({.node = node, .selected = true, .agent = AgentState::kHeard});
  }
  return offers;
}

VolumeRequest Request(std::string volume, int64_t bytes) {
  return {.volume = std::move(volume), .pool = "fast", .size_bytes = bytes};
}

bool Placed(const PlacementOutcome& outcome) { return std::holds_alternative<Plan>(outcome); }

TEST(CapacityLedger, PromisesNoByteTwice) {
  CapacityLedger ledger;
  ledger.Observe("a", Report(10 * kMi));
  EXPECT_TRUE(Placed(ledger.Assign(Offers({"a"}), Request("v1", 6 * kMi))));
  EXPECT_FALSE(Placed(ledger.Assign(Offers({"a"}), Request("v2", 6 * kMi))));
  EXPECT_TRUE(Placed(ledger.Assign(Offers({"a"}), Request("v3", 4 * kMi))));
  EXPECT_EQ(ledger.InFlightBytes("a", "fast"), 10 * kMi);
}

TEST(CapacityLedger, TheSameVolumeKeepsItsPlace) {
  CapacityLedger ledger;
  ledger.Observe("a", Report(10 * kMi));
  ledger.Observe("b", Report(9 * kMi));
  const PlacementOutcome first = ledger.Assign(Offers({"a", "b"}), Request("v", 6 * kMi));
  const PlacementOutcome second = ledger.Assign(Offers({"a", "b"}), Request("v", 6 * kMi));
  EXPECT_EQ(std::get<Plan>(first).assignments, std::get<Plan>(second).assignments);
  EXPECT_EQ(ledger.InFlightBytes("a", "fast"), 6 * kMi);
  EXPECT_EQ(ledger.InFlightBytes("b", "fast"), 0);
}

TEST(CapacityLedger, AVolumeThatNamesAnotherNodeMovesThere) {
  CapacityLedger ledger;
  ledger.Observe("a", Report(10 * kMi));
  ledger.Observe("b", Report(9 * kMi));
  ledger.Assign(Offers({"a", "b"}), Request("v", 6 * kMi));
  VolumeRequest request = Request("v", 6 * kMi);
  request.node = "b";
  ledger.Assign(Offers({"b"}), request);
  EXPECT_EQ(ledger.InFlightBytes("a", "fast"), 0);
  EXPECT_EQ(ledger.InFlightBytes("b", "fast"), 6 * kMi);
}

TEST(CapacityLedger, AReportThatShowsTheVolumeEndsItsPromise) {
  CapacityLedger ledger;
  ledger.Observe("a", Report(10 * kMi));
  ledger.Assign(Offers({"a"}), Request("v", 6 * kMi));
  ledger.Observe("a", Report(10 * kMi));  // made before the volume was carved
  EXPECT_EQ(ledger.InFlightBytes("a", "fast"), 6 * kMi);
  ledger.Observe("a", Report(4 * kMi, {{"v", 6 * kMi}}));
  EXPECT_EQ(ledger.InFlightBytes("a", "fast"), 0);
  EXPECT_EQ(ledger.Find("v"), std::nullopt);
  EXPECT_TRUE(Placed(ledger.Assign(Offers({"a"}), Request("w", 4 * kMi))));
}

TEST(CapacityLedger, ReleaseGivesTheBytesBack) {
  CapacityLedger ledger;
  ledger.Observe("a", Report(10 * kMi));
  ledger.Assign(Offers({"a"}), Request("v", 6 * kMi));
  ledger.Release("v");
  ledger.Release("v");
  EXPECT_EQ(ledger.InFlightBytes("a", "fast"), 0);
  EXPECT_TRUE(Placed(ledger.Assign(Offers({"a"}), Request("w", 10 * kMi))));
}

TEST(CapacityLedger, ANewVolumeOfARemovedOnesNameIsPromisedInFull) {
  CapacityLedger ledger;
  ledger.Observe("a", Report(4 * kMi, {{"v", 6 * kMi}}));
  ledger.Removed("a", "v");
  EXPECT_FALSE(Placed(ledger.Assign(Offers({"a"}), Request("v", 6 * kMi))));
  EXPECT_TRUE(Placed(ledger.Assign(Offers({"a"}), Request("v", 4 * kMi))));
  ledger.Observe("a", Report(10 * kMi));
  EXPECT_EQ(ledger.InFlightBytes("a", "fast"), 4 * kMi);
}

TEST(CapacityLedger, AssumedBytesCountBeforeTheFirstReport) {
  CapacityLedger ledger;
  ledger.Assume({"old", "a", "fast", 6 * kMi});
  ledger.Observe("a", Report(10 * kMi));
  EXPECT_FALSE(Placed(ledger.Assign(Offers({"a"}), Request("new", 6 * kMi))));
}

TEST(CapacityLedger, AssumingWhatTheReportShowsPromisesNothing) {
  CapacityLedger ledger;
  ledger.Observe("a", Report(4 * kMi, {{"v", 6 * kMi}}));
  ledger.Assume({"v", "a", "fast", 6 * kMi});
  EXPECT_EQ(ledger.InFlightBytes("a", "fast"), 0);
}

TEST(CapacityLedger, AssumingAgainMovesAndRaisesThePromise) {
  CapacityLedger ledger;
  ledger.Assume({"v", "a", "fast", 6 * kMi});
  ledger.Assume({"v", "a", "fast", 2 * kMi});
  EXPECT_EQ(ledger.InFlightBytes("a", "fast"), 6 * kMi);
  ledger.Assume({"v", "a", "fast", 8 * kMi});
  EXPECT_EQ(ledger.InFlightBytes("a", "fast"), 8 * kMi);
  ledger.Assume({"v", "b", "fast", 8 * kMi});
  EXPECT_EQ(ledger.InFlightBytes("a", "fast"), 0);
  EXPECT_EQ(ledger.InFlightBytes("b", "fast"), 8 * kMi);
}

TEST(CapacityLedger, AbsurdPromisesDoNotOverflow) {
  CapacityLedger ledger;
  for (int i = 0; i < 100; ++i) {
    ledger.Assume({absl::StrCat("v", i), "a", "fast", std::numeric_limits<int64_t>::max()});
  }
  ledger.Observe("a", Report(10 * kMi));
  EXPECT_FALSE(Placed(ledger.Assign(Offers({"a"}), Request("w", kMi))));
  EXPECT_GT(ledger.InFlightBytes("a", "fast"), 0);
}

TEST(CapacityLedger, GrowthPromisesOnlyWhatIsAdded) {
  CapacityLedger ledger;
  ledger.Observe("a", Report(4 * kMi, {{"v", 6 * kMi}}));
  EXPECT_TRUE(Placed(ledger.Grow({"v", "a", "fast", 9 * kMi})));
  EXPECT_EQ(ledger.InFlightBytes("a", "fast"), 3 * kMi);
  EXPECT_FALSE(Placed(ledger.Assign(Offers({"a"}), Request("w", 2 * kMi))));
  EXPECT_TRUE(Placed(ledger.Grow({"v", "a", "fast", 10 * kMi})));
  ledger.Observe("a", Report(0, {{"v", 10 * kMi}}));
  EXPECT_EQ(ledger.InFlightBytes("a", "fast"), 0);
}

TEST(CapacityLedger, RefusedGrowthSaysWhatIsLeftAndPromisesNothing) {
  CapacityLedger ledger;
  ledger.Observe("a", Report(4 * kMi, {{"v", 6 * kMi}}));
  const PlacementOutcome outcome = ledger.Grow({"v", "a", "fast", 11 * kMi});
  ASSERT_FALSE(Placed(outcome));
  EXPECT_EQ(std::get<Refusal>(outcome).largest_bytes, 10 * kMi);
  EXPECT_THAT(std::get<Refusal>(outcome).Explain(), HasSubstr("needs 11Mi but 10Mi"));
  EXPECT_EQ(ledger.InFlightBytes("a", "fast"), 0);
}

TEST(CapacityLedger, AVolumeThatIsThereAlreadyIsPlacedOnAFullNode) {
  CapacityLedger ledger;
  ledger.Observe("a", Report(0, {{"v", 6 * kMi}}));
  VolumeRequest request = Request("v", 6 * kMi);
  request.node = "a";
  EXPECT_TRUE(Placed(ledger.Assign(Offers({"a"}), request)));
  EXPECT_EQ(ledger.InFlightBytes("a", "fast"), 0);
  request.volume = "w";
  EXPECT_FALSE(Placed(ledger.Assign(Offers({"a"}), request)));
}

TEST(CapacityLedger, AForgottenNodeOffersNothing) {
  CapacityLedger ledger;
  ledger.Observe("a", Report(10 * kMi));
  ledger.Forget("a");
  const PlacementOutcome outcome = ledger.Assign(Offers({"a"}), Request("v", kMi));
  ASSERT_FALSE(Placed(outcome));
  EXPECT_EQ(std::get<Refusal>(outcome).kind, Refusal::Kind::kPoolNotReady);
}

TEST(CapacityLedger, APoolIsIntroducedUntilAReportShowsIt) {
  CapacityLedger ledger;
  ledger.Observe("a", {});
  ledger.Introduce("a", "fast",
                   {.ready = true, .allocatable_bytes = 10 * kMi, .largest_bytes = 10 * kMi});
  EXPECT_TRUE(Placed(ledger.Assign(Offers({"a"}), Request("v", 6 * kMi))));
  ledger.Observe("a", Report(7 * kMi));
  ledger.Introduce("a", "fast",
                   {.ready = true, .allocatable_bytes = 100 * kMi, .largest_bytes = 100 * kMi});
  EXPECT_FALSE(Placed(ledger.Assign(Offers({"a"}), Request("w", 6 * kMi))));
}

// `drives` with so much left on each.
NodeReport Drives(std::vector<int64_t> drives, std::map<std::string, int64_t> volumes = {}) {
  NodeReport report = Report(std::accumulate(drives.begin(), drives.end(), int64_t{0}), volumes);
  report.pools["fast"].largest_bytes = *std::max_element(drives.begin(), drives.end());
  return report;
}

TEST(CapacityLedger, AVolumeFitsOnOneDriveOrNotAtAll) {
  CapacityLedger ledger;
  ledger.Observe("a", Drives({6 * kMi, 6 * kMi}));
  const PlacementOutcome outcome = ledger.Assign(Offers({"a"}), Request("v", 7 * kMi));
  ASSERT_FALSE(Placed(outcome));
  EXPECT_EQ(std::get<Refusal>(outcome).largest_bytes, 6 * kMi);
  EXPECT_TRUE(Placed(ledger.Assign(Offers({"a"}), Request("w", 6 * kMi))));
}

TEST(CapacityLedger, NodesWherePromisesMayTakeTheRoomComeLast) {
  CapacityLedger ledger;
  ledger.Observe("a", Drives({6 * kMi, 6 * kMi}));
  ledger.Assign(Offers({"a"}), Request("v", 2 * kMi));
  ledger.Observe("b", Drives({5 * kMi}));
  const PlacementOutcome sure = ledger.Assign(Offers({"a", "b"}), Request("w", 5 * kMi));
  EXPECT_EQ(std::get<Plan>(sure).assignments.at(0).node, "b");
  // The other drive still has it, if the agent put v where this volume does not go.
  const PlacementOutcome perhaps = ledger.Assign(Offers({"a", "b"}), Request("x", 6 * kMi));
  EXPECT_EQ(std::get<Plan>(perhaps).assignments.at(0).node, "a");
  EXPECT_FALSE(Placed(ledger.Assign(Offers({"a", "b"}), Request("y", 5 * kMi))));
}

// The same, on drives that can be named: d0, d1, ...
NodeReport NamedDrives(const std::vector<int64_t>& drives,
                       std::map<std::string, int64_t> volumes = {}) {
  NodeReport report = Drives(drives, std::move(volumes));
  for (size_t i = 0; i < drives.size(); ++i)
    report.pools["fast"].drives[absl::StrCat("d", i)] = {drives[i], drives[i]};
  return report;
}

VolumeRequest OnDrive(std::string volume, int64_t bytes, std::string drive) {
  VolumeRequest request = Request(std::move(volume), bytes);
  request.drive = std::move(drive);
  return request;
}

TEST(CapacityLedger, APromiseOnADriveCountsAgainstThatDriveAlone) {
  CapacityLedger ledger;
  ledger.Observe("a", NamedDrives({6 * kMi, 8 * kMi}));
  ASSERT_TRUE(Placed(ledger.Assign(Offers({"a"}), OnDrive("v", 4 * kMi, "d0"))));
  const PlacementOutcome full = ledger.Assign(Offers({"a"}), OnDrive("w", 3 * kMi, "d0"));
  ASSERT_FALSE(Placed(full));
  EXPECT_EQ(std::get<Refusal>(full).largest_bytes, 2 * kMi);
  EXPECT_TRUE(Placed(ledger.Assign(Offers({"a"}), OnDrive("x", 8 * kMi, "d1"))));
  // Who names no drive cannot have what is promised on drives either.
  EXPECT_FALSE(Placed(ledger.Assign(Offers({"a"}), Request("y", 3 * kMi))));
  ledger.Release("x");
  EXPECT_TRUE(Placed(ledger.Assign(Offers({"a"}), Request("y", 8 * kMi))));
  // The report that shows the volume ends the promise on the drive.
  ledger.Release("y");
  ledger.Observe("a", NamedDrives({2 * kMi, 8 * kMi}, {{"v", 4 * kMi}}));
  EXPECT_TRUE(Placed(ledger.Assign(Offers({"a"}), OnDrive("w", 2 * kMi, "d0"))));
}

TEST(CapacityLedger, APromiseOnADriveLeavesTheLargestVolumeOfTheOthers) {
  CapacityLedger ledger;
  ledger.Observe("a", NamedDrives({6 * kMi, 8 * kMi}));
  ASSERT_TRUE(Placed(ledger.Assign(Offers({"a"}), OnDrive("v", 5 * kMi, "d1"))));
  const PlacementOutcome large = ledger.Assign(Offers({"a"}), Request("w", 7 * kMi));
  ASSERT_FALSE(Placed(large)) << "d1 has 3 left, d0 has 6";
  EXPECT_EQ(std::get<Refusal>(large).largest_bytes, 6 * kMi);
}

TEST(CapacityLedger, AVolumeGoesWhereItsDriveIsAndTheRefusalNamesIt) {
  CapacityLedger ledger;
  ledger.Observe("a", Report(100 * kMi));
  ledger.Observe("b", NamedDrives({6 * kMi, 8 * kMi}));
  const PlacementOutcome placed = ledger.Assign(Offers({"a", "b"}), OnDrive("v", 6 * kMi, "d0"));
  ASSERT_TRUE(Placed(placed));
  EXPECT_EQ(std::get<Plan>(placed).assignments.front(),
            (Assignment{"v", "b", "fast", 6 * kMi, "d0"}));
  ledger.Release("v");
  const PlacementOutcome refused = ledger.Assign(Offers({"a", "b"}), OnDrive("w", 7 * kMi, "d0"));
  ASSERT_FALSE(Placed(refused));
  EXPECT_EQ(std::get<Refusal>(refused).Explain(),
            "7Mi of pool fast on drive d0 fit on none of 2 nodes: b: needs 7Mi but 6Mi are "
            "allocatable; a: the pool takes no volumes on that drive here. The largest volume that "
            "fits is 6Mi on node b.");
}

TEST(CapacityLedger, GrowthOnADriveIsBoundedByThatDrive) {
  CapacityLedger ledger;
  ledger.Observe("a", NamedDrives({2 * kMi, 9 * kMi}, {{"v", 4 * kMi}}));
  EXPECT_FALSE(Placed(ledger.Grow({"v", "a", "fast", 7 * kMi, "d0"})));
  EXPECT_TRUE(Placed(ledger.Grow({"v", "a", "fast", 6 * kMi, "d0"})));
}

TEST(CapacityLedger, GrowthIsBoundedByTheLargestVolumeToo) {
  CapacityLedger ledger;
  ledger.Observe("a", Drives({4 * kMi, 4 * kMi}, {{"v", 6 * kMi}}));
  const PlacementOutcome outcome = ledger.Grow({"v", "a", "fast", 11 * kMi});
  ASSERT_FALSE(Placed(outcome));
  EXPECT_EQ(std::get<Refusal>(outcome).largest_bytes, 10 * kMi);
  EXPECT_TRUE(Placed(ledger.Grow({"v", "a", "fast", 10 * kMi})));
}

TEST(CapacityLedger, CertainIsWhatFitsWhereverPromisesLie) {
  EXPECT_EQ(CertainBytes(12 * kMi, 6 * kMi, 0), 6 * kMi);
  EXPECT_EQ(CertainBytes(12 * kMi, 6 * kMi, 2 * kMi), 4 * kMi);
  EXPECT_EQ(CertainBytes(12 * kMi, 6 * kMi, 9 * kMi), 0);
  EXPECT_EQ(CertainBytes(6 * kMi, 6 * kMi, 2 * kMi), 4 * kMi);
}

TEST(CapacityLedger, ClearEndsAllPromises) {
  CapacityLedger ledger;
  ledger.Assume({"v", "a", "fast", 6 * kMi});
  ledger.Clear();
  EXPECT_EQ(ledger.InFlightBytes("a", "fast"), 0);
  EXPECT_EQ(ledger.Find("v"), std::nullopt);
}

// A node as its agent would run it: carving takes place between two reports.
struct Medium {
  int64_t capacity = 0;
  std::map<std::string, int64_t> volumes;
  int64_t Free() const {
    int64_t free = capacity;
    for (const auto& [name, bytes] : volumes) free -= bytes;
    return free;
  }
};

TEST(CapacityLedgerProperty, WhatIsPromisedCanAlwaysBeCarved) {
  std::mt19937 random(42);
  CapacityLedger ledger;
  std::map<std::string, Medium> media = {{"a", {60 * kMi, {}}}, {"b", {40 * kMi, {}}}};
  std::map<std::string, Assignment> placed;  // promised or carved
  for (int step = 0; step < 20000; ++step) {
    const std::string node = random() % 2 == 0 ? "a" : "b";
    const std::string volume = absl::StrCat("v", random() % 12);
    switch (random() % 4) {
      case 0:
        ledger.Observe(node, Report(media[node].Free(), media[node].volumes));
        break;
      case 1: {
        if (placed.count(volume) > 0) break;
        const int64_t bytes = (1 + static_cast<int64_t>(random() % 20)) * kMi;
        const PlacementOutcome outcome = ledger.Assign(Offers({"a", "b"}), Request(volume, bytes));
        if (Placed(outcome)) placed[volume] = std::get<Plan>(outcome).assignments[0];
        break;
      }
      case 2:  // carve what was promised
        if (auto it = placed.find(volume); it != placed.end()) {
          media[it->second.node].volumes[volume] = it->second.bytes;
          ASSERT_GE(media[it->second.node].Free(), 0) << "step " << step;
        }
        break;
      case 3:  // remove it, carved or not
        if (auto it = placed.find(volume); it != placed.end()) {
          media[it->second.node].volumes.erase(volume);
          ledger.Removed(it->second.node, volume);
          placed.erase(it);
        }
        break;
    }
  }
}

TEST(CapacityLedger, ParallelAssignmentsNeverPromiseMoreThanThereIs) {
  CapacityLedger ledger;
  ledger.Observe("a", Report(100 * kMi));
  ledger.Observe("b", Report(50 * kMi));
  std::vector<std::jthread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&ledger, t] {
      for (int i = 0; i < 40; ++i) {
        ledger.Assign(Offers({"a", "b"}), Request(absl::StrCat("v", t, "-", i), kMi));
        if (i % 3 == 0)
          ledger.Observe(t % 2 == 0 ? "a" : "b", Report(t % 2 == 0 ? 100 * kMi : 50 * kMi));
        if (i % 5 == 0) ledger.Release(absl::StrCat("v", t, "-", i));
        ledger.InFlightBytes("a", "fast");
      }
    });
  }
  threads.clear();
  EXPECT_EQ(ledger.InFlightBytes("a", "fast"), 100 * kMi);
  EXPECT_EQ(ledger.InFlightBytes("b", "fast"), 50 * kMi);
}

}  // namespace
}  // namespace ashlar::controller
