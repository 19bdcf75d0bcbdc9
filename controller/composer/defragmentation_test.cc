#include "controller/composer/defragmentation.h"

#include <random>

#include "absl/strings/str_cat.h"
#include "controller/composer/testing/device_scene.h"
#include "gtest/gtest.h"

namespace ashlar::composer {
namespace {

MemberRequest Slice(const std::string& profile, int64_t bytes = 0) {
  MemberRequest member{.name = "slice", .gpus = {{.name = "gpu", .profile = profile}}};
  if (bytes > 0) {
    member.drives = {{.name = "scratch", .bytes = bytes}};
    member.constraints = {{{"gpu", "scratch"}, Level::kSwitch, Enforcement::kRequired}};
  }
  return member;
}

// One node with a GPU and a drive at each of its switches.
Inventory OneNode(int gpus) {
  Inventory inventory{{A100Layout()}, {}};
  NodeDevices node;
  node.name = "n1";
  for (int i = 0; i < gpus; ++i) {
    node.gpus.push_back(GpuAt(i, {i, i, 0}));
    node.drives.push_back(DriveAt(i, {i, i, 0}, 10 * kGi));
  }
  inventory.nodes.push_back(node);
  return inventory;
}

// Takes the place and returns who is there.
MovableMember Put(Inventory& inventory, const std::string& name, const std::string& profile,
                  int gpu, int start, int64_t bytes = 0) {
  const int number = inventory.layouts[0].Find(profile);
  const int size = inventory.layouts[0].profiles()[number].placements[0].size;
  MovableMember member{name, Slice(profile, bytes), 0, {.gpus = {{0, gpu, number, {start, size}}}}};
  if (bytes > 0) member.grants.drives = {{0, gpu, bytes}};
  Occupy(inventory.nodes[0], inventory.layouts, member.grants);
  return member;
}

// Does the moves one after another, then the gang; empty if each finds its place free.
std::string WrongWhenDone(Inventory inventory, const GangRequest& gang, const MovePlan& plan) {
  for (const Move& move : plan.moves) {
    for (const GpuGrant& grant : move.new_grants.gpus) {
      const Gpu& gpu = inventory.nodes[move.to].gpus[grant.gpu];
      if (gpu.taken || !inventory.layouts[0].CanTake(gpu.used, grant.profile, grant.placement)) {
        return absl::StrCat(move.name, " has no slice");
      }
    }
    Occupy(inventory.nodes[move.to], inventory.layouts, move.new_grants);
    for (const Drive& drive : inventory.nodes[move.to].drives) {
      if (drive.allocatable_bytes < 0) return absl::StrCat(move.name, " has no bytes");
    }
    GiveBack(inventory.nodes[move.from], inventory.layouts, move.old_grants);
  }
  return WrongIn(inventory, gang, plan.gang);
}

TEST(PlanMoves, NothingMovesIfTheGangFits) {
  const Inventory inventory = OneNode(1);
  const auto plan = PlanMoves(inventory, {.members = {{Slice("3g.40gb"), 1}}}, {});
  ASSERT_TRUE(plan.has_value());
  EXPECT_TRUE(plan->moves.empty());
}

TEST(PlanMoves, OneSmallSliceMakesRoomForALargeOne) {
  Inventory inventory = OneNode(2);
  const std::vector<MovableMember> movable = {Put(inventory, "a", "1g.10gb", 0, 1),
                                              Put(inventory, "b", "1g.10gb", 1, 0),
                                              Put(inventory, "c", "3g.40gb", 1, 4)};
  Put(inventory, "fixed", "3g.40gb", 0, 4);
  const GangRequest gang = {.members = {{Slice("4g.40gb"), 1}}};
  ASSERT_TRUE(std::holds_alternative<GangRefusal>(PlaceGang(inventory, gang)));
  const auto plan = PlanMoves(inventory, gang, movable);
  ASSERT_TRUE(plan.has_value());
  ASSERT_EQ(plan->moves.size(), 1U);
  EXPECT_EQ(plan->moves[0].name, "a");
  EXPECT_EQ(plan->moves[0].new_grants.gpus[0].gpu, 1);
  EXPECT_EQ(WrongWhenDone(inventory, gang, *plan), "");
}

TEST(PlanMoves, WhatIsNotMovableStays) {
  Inventory inventory = OneNode(2);
  Put(inventory, "a", "1g.10gb", 0, 1);
  Put(inventory, "b", "1g.10gb", 1, 1);
  EXPECT_FALSE(PlanMoves(inventory, {.members = {{Slice("4g.40gb"), 1}}}, {}).has_value());
}

TEST(PlanMoves, ASliceTakesItsVolumeAlong) {
  Inventory inventory = OneNode(3);
  const std::vector<MovableMember> movable = {Put(inventory, "a", "3g.40gb", 0, 0, 4 * kGi)};
  Put(inventory, "b", "3g.40gb", 1, 0, 7 * kGi);  // no bytes for a beside it
  Put(inventory, "c", "1g.10gb", 2, 6, 2 * kGi);
  const GangRequest gang = {.members = {{Slice("7g.80gb", 8 * kGi), 1}}};
  const auto plan = PlanMoves(inventory, gang, movable);
  ASSERT_TRUE(plan.has_value());
  ASSERT_EQ(plan->moves.size(), 1U);
  EXPECT_EQ(plan->moves[0].new_grants.gpus[0].gpu, 2);
  EXPECT_EQ(plan->moves[0].new_grants.drives[0].drive, 2);
  EXPECT_EQ(WrongWhenDone(inventory, gang, *plan), "");
}

TEST(PlanMoves, PlansHoldWhenTheyAreDone) {
  std::mt19937 random(3);
  const char* kProfiles[] = {"1g.10gb", "1g.10gb", "2g.20gb", "1g.20gb"};
  int with_moves = 0;
  for (int round = 0; round < 400; ++round) {
    Inventory inventory = OneNode(3);
    std::vector<MovableMember> movable;
    for (int i = 0; i < 6; ++i) {
      const std::string profile = kProfiles[random() % 4];
      const int number = inventory.layouts[0].Find(profile);
      const int gpu = static_cast<int>(random() % 3);
      const auto free =
          inventory.layouts[0].FreePlacements(inventory.nodes[0].gpus[gpu].used, number);
      if (free.empty() || inventory.nodes[0].drives[gpu].allocatable_bytes < 2 * kGi) continue;
      const MovableMember member = Put(inventory, absl::StrCat("m", i), profile, gpu,
                                       free[random() % free.size()].start, 2 * kGi);
      if (random() % 3 != 0) movable.push_back(member);
    }
    const GangRequest gang = {.members = {{Slice("4g.40gb", 4 * kGi), 2}}};
    const auto plan = PlanMoves(inventory, gang, movable);
    if (!plan) continue;
    ASSERT_EQ(WrongWhenDone(inventory, gang, *plan), "") << "round " << round;
    with_moves += plan->moves.empty() ? 0 : 1;
  }
  EXPECT_GT(with_moves, 50);
}

}  // namespace
}  // namespace ashlar::composer
