#include "controller/composition/move_plan.h"

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace ashlar::controller {
namespace {

using v1alpha1::CompositionMoves;

constexpr int64_t kGi = int64_t{1} << 30;

// Two nodes, each with one GPU of four slices, of which one is a GPUPartition's that no pod uses;
// and n1 has two drives of 100 GiB.
class MovePlanTest : public testing::Test {
 protected:
  MovePlanTest() {
    stock_.inventory.layouts.emplace_back(
        4, 4, 0,
        std::vector<composer::MigProfile>{{"1g.10gb", 1, 0, 4, {{0, 1}, {1, 1}, {2, 1}, {3, 1}}},
                                          {"2g.20gb", 2, 0, 2, {{0, 2}, {2, 2}}},
                                          {"4g.40gb", 4, 0, 1, {{0, 4}}}});
    for (const char* name : {"n1", "n2"}) {
      composer::NodeDevices& node = stock_.inventory.nodes.emplace_back();
      node.name = name;
      composer::Gpu& gpu = node.gpus.emplace_back();
      gpu.name = absl::StrCat("GPU-", name);
      gpu.layout = 0;
    }
    stock_.drives.resize(2);
    for (const char* drive : {"S0", "S1"}) {
      composer::Drive& its = stock_.inventory.nodes[0].drives.emplace_back();
      its.name = drive;
      its.kinds = {"fast"};
      its.capacity_bytes = its.allocatable_bytes = 100 * kGi;
      stock_.drives[0].push_back({"fast", drive});
    }
    v1alpha1::CompositionMember& member = *object_.mutable_spec()->add_members();
    member.set_name("worker");
    member.set_replicas(1);
  }

  void AskForGpu(const std::string& profile) {
    v1alpha1::CompositionGPUs& gpus = *object_.mutable_spec()->mutable_members(0)->add_gpus();
    gpus.set_name("gpu");
    gpus.set_count(1);
    gpus.set_profile(profile);
  }
  void AskForBytes(int64_t bytes) {
    v1alpha1::CompositionVolume& volume =
        *object_.mutable_spec()->mutable_members(0)->add_volumes();
    volume.set_name("scratch");
    volume.set_size(bytes);
    volume.set_pool("fast");
  }
  // A part of the GPU of the node, as a GPUPartition's that may move or as somebody's that stays.
  void Occupy(int node, int start, bool moves) {
    composer::Gpu& gpu = stock_.inventory.nodes[static_cast<size_t>(node)].gpus[0];
    stock_.inventory.layouts[0].Take(gpu.used, 0, {start, 1});
    if (!moves) return;
    Movable one{.what = absl::StrCat("GPUPartition team/p", movable_.size()),
                .node = stock_.inventory.nodes[static_cast<size_t>(node)].name};
    one.request.gpus.push_back({.name = "parts", .profile = "1g.10gb"});
    v1alpha1::GPUPartitionAllocation& part = one.gpus.emplace_back();
    part.set_gpu(gpu.name);
    part.set_profile("1g.10gb");
    part.set_start(start);
    part.set_size(1);
    one.gpu_requests.push_back(0);
    movable_.push_back(one);
  }
  void Store(int drive, int64_t bytes) {
    composer::Drive& its = stock_.inventory.nodes[0].drives[static_cast<size_t>(drive)];
    its.allocatable_bytes -= bytes;
    Movable one{.what = "Volume data", .node = "n1"};
    one.request.drives.push_back({"volume", bytes, "fast", false});
    one.drives.push_back({"fast", its.name, bytes, 0});
    one.stays_on_node = true;
    movable_.push_back(one);
  }
  CompositionMoves Plan() { return PlanMovesFor(stock_, object_, movable_); }

  DeviceStock stock_;
  v1alpha1::Composition object_;
  std::vector<Movable> movable_;
};

TEST_F(MovePlanTest, APartMovesOutOfTheWayAndWhatThatFreesIsTold) {
  AskForGpu("4g.40gb");
  Occupy(0, 1, true);
  Occupy(1, 2, false);
  const CompositionMoves plan = Plan();
  ASSERT_EQ(plan.moves_size(), 1);
  EXPECT_EQ(plan.moves(0).what(), "GPUPartition team/p0");
  EXPECT_EQ(plan.moves(0).from(), "n1: 1g.10gb at 1 of GPU-n1");
  EXPECT_EQ(plan.moves(0).to(), "n2: 1g.10gb at 3 of GPU-n2");
  EXPECT_EQ(plan.movable(), 1);
  EXPECT_EQ(plan.largest_part_before(), "2g.20gb");
  EXPECT_EQ(plan.largest_part_after(), "4g.40gb");
}

TEST_F(MovePlanTest, WhereNoMoveHelpsNoneIsPlanned) {
  AskForGpu("4g.40gb");
  Occupy(0, 1, true);
  Occupy(0, 2, false);
  Occupy(1, 2, false);
  const CompositionMoves plan = Plan();
  EXPECT_EQ(plan.moves_size(), 0);
  EXPECT_EQ(plan.movable(), 1);
  EXPECT_EQ(plan.largest_part_before(), "2g.20gb");
  EXPECT_EQ(plan.largest_part_after(), "");
}

TEST_F(MovePlanTest, AVolumeMovesToAnotherDriveOfItsNodeOnly) {
  AskForBytes(90 * kGi);
  Store(0, 20 * kGi);
  Store(1, 30 * kGi);
  CompositionMoves plan = Plan();
  ASSERT_EQ(plan.moves_size(), 1);
  EXPECT_EQ(plan.moves(0).from(), "n1: 20Gi on S0");
  EXPECT_EQ(plan.moves(0).to(), "n1: 20Gi on S1");
  EXPECT_EQ(plan.largest_volume_before(), 80 * kGi);
  EXPECT_EQ(plan.largest_volume_after(), 100 * kGi);
  // On another node there would be room.
  stock_.inventory.nodes[0].drives[1].allocatable_bytes = 0;
  composer::Drive other = stock_.inventory.nodes[0].drives[1];
  other.allocatable_bytes = 80 * kGi;
  stock_.inventory.nodes[1].drives.push_back(other);
  stock_.drives[1].push_back({"fast", "S9"});
  plan = Plan();
  EXPECT_EQ(plan.moves_size(), 0);
}

TEST_F(MovePlanTest, WhatTheStockDoesNotShowAsTakenDoesNotMove) {
  AskForGpu("4g.40gb");
  Occupy(0, 1, true);
  Occupy(1, 2, false);
  movable_[0].gpus[0].set_start(3);
  EXPECT_EQ(Plan().movable(), 0);
  movable_[0].gpus[0].set_start(1);
  movable_[0].node = "gone";
  EXPECT_EQ(Plan().movable(), 0);
}

}  // namespace
}  // namespace ashlar::controller
