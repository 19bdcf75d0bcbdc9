#include "node-agent/storage/namespace/namespace_plan.h"

#include <filesystem>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace ashlar::node_agent {
namespace {

using testing::HasSubstr;

const absl::Time kNow = absl::UnixEpoch() + absl::Hours(100);

class NamespacePlanTest : public testing::Test {
 protected:
  void SetUp() override {
    std::filesystem::remove_all(directory_);
    ASSERT_EQ(records_.Load(), absl::OkStatus());
  }
  static NvmeSubsystem Subsystem(const std::string& nqn, int64_t unallocated_mib) {
    NvmeSubsystem subsystem;
    subsystem.nqn = nqn;
    subsystem.serial = absl::StrCat("serial-of-", nqn);
    subsystem.manages = true;
    subsystem.capacity_bytes = 1024 * kMiB;
    subsystem.unallocated_bytes = unallocated_mib * kMiB;
    subsystem.granularity_bytes = 8 * kMiB;
    subsystem.max_namespaces = 4;
    subsystem.new_format = {1, 4096, 0, 0, false};
    return subsystem;
  }
  // One that was looked at, and what was found.
  static void Add(PoolSubsystem& on, uint32_t nsid, int64_t size_mib, std::string busy = "") {
    NvmeNamespaceState space;
    space.nsid = nsid;
    space.size_bytes = size_mib * kMiB;
    on.subsystem.namespaces.push_back(space);
    on.looks[nsid] = {std::move(busy)};
  }
  NamespacePool Pool(int64_t reserve_mib = 0) {
    return {subsystems_, records_, reserve_mib * kMiB, kNow};
  }
  void Refuse(const std::string& nqn, sys::NvmeStatus status, int64_t mib, int64_t unallocated_mib,
              absl::Time when = kNow) {
    ASSERT_EQ(records_.SaveRefusal(nqn, {status, mib * kMiB, unallocated_mib * kMiB, "", when}),
              absl::OkStatus());
  }
  // "create 40 of a", "take 2 of b", or what the refusal says.
  std::string Choice(int64_t size_mib, int64_t reserve_mib = 0) {
    const auto place = ChoosePlace(Pool(reserve_mib), size_mib * kMiB);
    if (!place.ok()) return std::string(place.status().message());
    return place->nsid == 0 ? absl::StrCat("create ", place->size_bytes / kMiB, " of ", place->nqn)
                            : absl::StrCat("take ", place->nsid, " of ", place->nqn);
  }

  const std::string directory_ = absl::StrCat(testing::TempDir(), "/namespace-plan-test");
  NamespaceRecords records_{directory_};
  std::vector<PoolSubsystem> subsystems_;
};

TEST_F(NamespacePlanTest, WhatIsCreatedIsAsLargeAsWasAskedForInTheControllersGrains) {
  subsystems_ = {{Subsystem("a", 100)}, {Subsystem("b", 60)}};
  EXPECT_EQ(Choice(33), "create 40 of b") << "where the least is left";
  EXPECT_EQ(Choice(90), "create 96 of a");
  EXPECT_THAT(Choice(97), HasSubstr("the largest namespace that can be had has 100663296"));
  const PoolUsage usage = UsageOf(Pool());
  EXPECT_EQ(usage.largest_bytes, 96 * kMiB);
  EXPECT_EQ(usage.allocatable_bytes, (96 + 56) * kMiB);
  EXPECT_EQ(usage.capacity_bytes, (96 + 56) * kMiB);
}

TEST_F(NamespacePlanTest, APreparedNamespaceIsTakenWhereNoneCanBeCreatedTheSmallestThatIsEnough) {
  PoolSubsystem on{Subsystem("a", 0)};
  Add(on, 1, 64);
  Add(on, 2, 32);
  Add(on, 3, 16);
  Add(on, 4, 24, "has a signature of ext4");
  subsystems_ = {on};
  EXPECT_EQ(Choice(20), "take 2 of a");
  EXPECT_EQ(Choice(33), "take 1 of a");
  EXPECT_THAT(Choice(65), HasSubstr("namespace 4 of serial-of-a has a signature of ext4"));
  EXPECT_EQ(UsageOf(Pool()).allocatable_bytes, (64 + 32 + 16) * kMiB);
  EXPECT_EQ(UsageOf(Pool()).largest_bytes, 64 * kMiB);
  subsystems_[0].subsystem.namespaces[0].usable = false;
  EXPECT_EQ(UsageOf(Pool()).largest_bytes, 32 * kMiB) << "blocks with metadata";
}

TEST_F(NamespacePlanTest, WhatIsReservedIsNeverGiven) {
  PoolSubsystem on{Subsystem("a", 40)};
  Add(on, 1, 64);
  subsystems_ = {on};
  EXPECT_EQ(UsageOf(Pool(50)).allocatable_bytes, 54 * kMiB);
  EXPECT_EQ(UsageOf(Pool(50)).largest_bytes, 40 * kMiB);
  EXPECT_EQ(Choice(40, 50), "create 40 of a");
  EXPECT_THAT(Choice(41, 50), HasSubstr("wanted"));
}

TEST_F(NamespacePlanTest, CapacityThatACreateWasRefusedIsNotAnnounced) {
  subsystems_ = {{Subsystem("a", 100)}};
  Refuse("a", 0x4001, 40, 100);
  EXPECT_EQ(UsageOf(Pool()).allocatable_bytes, 0);
  EXPECT_THAT(Choice(8), HasSubstr("controller serial-of-a refused to create a namespace of "
                                   "41943040 bytes: Invalid Command Opcode (status 0x4001)"));
  // Too little for this size says nothing of smaller ones.
  Refuse("a", 0x4115, 40, 100);
  EXPECT_EQ(UsageOf(Pool()).allocatable_bytes, 32 * kMiB);
  EXPECT_EQ(Choice(30), "create 32 of a");
}

TEST_F(NamespacePlanTest, ARefusalHoldsUntilTheControllerIsAnotherOrTheCausePassed) {
  subsystems_ = {{Subsystem("a", 100)}};
  const auto refused = [&] { return UsageOf(Pool()).allocatable_bytes == 0; };
  Refuse("a", 0x4001, 40, 100, kNow - absl::Hours(99));
  EXPECT_TRUE(refused());
  subsystems_[0].subsystem.firmware = "2";
  EXPECT_FALSE(refused());
  subsystems_[0].subsystem.firmware = "";
  subsystems_[0].subsystem.unallocated_bytes += kMiB;
  EXPECT_FALSE(refused());
  subsystems_[0].subsystem.unallocated_bytes -= kMiB;
  Refuse("a", 0x001d, 40, 100, kNow - absl::Minutes(9));  // a sanitize is in progress
  EXPECT_TRUE(refused());
  Refuse("a", 0x001d, 40, 100, kNow - absl::Minutes(11));
  EXPECT_FALSE(refused());
}

TEST_F(NamespacePlanTest, OneThatDoesNotTellItsCapacityIsTriedLastAndAnnouncesNothing) {
  NvmeSubsystem silent = Subsystem("a", 0);
  silent.capacity_bytes = 0;
  PoolSubsystem on{silent};
  Add(on, 1, 64);
  subsystems_ = {on};
  EXPECT_EQ(UsageOf(Pool()).allocatable_bytes, 64 * kMiB);
  EXPECT_EQ(Choice(64), "take 1 of a");
  EXPECT_EQ(Choice(65), "create 72 of a");
  Refuse("a", 0x4001, 72, 0);
  EXPECT_THAT(Choice(65), HasSubstr("Invalid Command Opcode"));
}

TEST_F(NamespacePlanTest, WhatIsPromisedAndHeldIsNotFree) {
  PoolSubsystem on{Subsystem("a", 100)};
  Add(on, 1, 64);
  subsystems_ = {on};
  NamespaceRecord record;
  record.facts = {"v", "p", "u", VolumeMode::kBlock, ""};
  record.nqn = "a";
  record.size_bytes = 40 * kMiB;
  ASSERT_EQ(records_.Save(record), absl::OkStatus());  // to be created
  EXPECT_EQ(UsageOf(Pool()).allocated_bytes, 40 * kMiB);
  EXPECT_EQ(UsageOf(Pool()).allocatable_bytes, (56 + 64) * kMiB);
  record.facts.id = "w";
  record.nsid = 1;
  record.size_bytes = 64 * kMiB;
  ASSERT_EQ(records_.Save(record), absl::OkStatus());
  EXPECT_EQ(UsageOf(Pool()).allocatable_bytes, 56 * kMiB);
  subsystems_[0].subsystem.max_namespaces = 2;
  EXPECT_EQ(UsageOf(Pool()).allocatable_bytes, 0) << "no more namespaces";
  subsystems_[0].subsystem.namespaces[0].identity = "another";
  EXPECT_EQ(UsageOf(Pool()).allocatable_bytes, 64 * kMiB) << "of the same id, created since";
}

TEST_F(NamespacePlanTest, OneThatMatchesNoLongerGivesNothing) {
  PoolSubsystem on{Subsystem("a", 100)};
  Add(on, 1, 64);
  on.takes_volumes = false;
  subsystems_ = {on};
  EXPECT_EQ(UsageOf(Pool()).capacity_bytes, 0);
  EXPECT_THAT(Choice(8), HasSubstr("wanted"));
}

}  // namespace
}  // namespace ashlar::node_agent
