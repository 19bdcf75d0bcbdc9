// Partition pools on real block devices: which drives are taken, what is found again, and that
// nothing is lost or shown to others whatever interrupts a call.
#include <fcntl.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/base/log.h"
#include "lib/system/block_device.h"
#include "lib/system/files.h"
#include "node-agent/storage/partition/partition_backend.h"
#include "node-agent/testing/loop_lab.h"
#include "node-agent/testing/syscall_killer.h"

namespace ashlar::node_agent {
namespace {

using absl::StatusCode;
using testing::HasSubstr;

constexpr char kUid[] = "0f8fad5b-d9cb-469f-a165-70867728950e";

class PartitionTest : public testing::Test {
 protected:
  void SetUp() override {
    ASHLAR_NEEDS_LOOP_LAB();
    SetLogLevel(LogLevel::kError);
    lab_ = std::make_unique<LoopLab>();
    Restart();
  }
  void TearDown() override { SetLogLevel(LogLevel::kInfo); }
  std::unique_ptr<AgentStack> Start() {
    auto agent =
        std::make_unique<AgentStack>(lab_->Path("state"), std::vector{lab_->Path("kubelet")});
    EXPECT_EQ(agent->Start(), absl::OkStatus());
    return agent;
  }
  void Restart() {
    agent_.reset();
    agent_ = Start();
  }
  PoolStatus EnsureOn(AgentStack& agent, const std::vector<std::string>& paths) {
    PoolSpec spec;
    spec.name = "p";
    spec.uid = kUid;
    spec.backend = BackendKind::kPartition;
    spec.devices.emplace();
    spec.devices->paths = paths;
    const auto status = agent.pools.Ensure({}, spec);
    EXPECT_TRUE(status.ok()) << status.status();
    EXPECT_EQ(status.ok() ? agent.volumes.Adopt({}, "p") : status.status(), absl::OkStatus());
    return status.value_or(PoolStatus{});
  }
  PoolStatus EnsureOn(const std::vector<std::string>& paths) { return EnsureOn(*agent_, paths); }
  absl::Status Block(const std::string& id, int64_t size) {
    return agent_->volumes.Ensure({}, {id, "p", size, VolumeMode::kBlock, ""}).status();
  }
  std::shared_ptr<StorageBackend> Backend() { return *agent_->pools.Backend("p"); }
  std::string NodeOf(const std::string& id) {
    return sys::RealPath(Backend()->Find(id)->path).value_or("");
  }
  static std::string DriveOf(const std::string& node) { return node.substr(0, node.rfind('p')); }

  std::unique_ptr<LoopLab> lab_;
  std::unique_ptr<AgentStack> agent_;
};

TEST_F(PartitionTest, EveryFreeMatchingDriveIsTakenAndAPoolGrowsWithThem) {
  const std::string a = lab_->MakeDrive(200 * kMiB), b = lab_->MakeDrive(300 * kMiB);
  const std::string used = lab_->MakeDrive(64 * kMiB);
  ASSERT_EQ(sys::RunChecked(agent_->commands, {}, {"mkfs.ext4", "-q", used}), absl::OkStatus());
  const std::string before = *sys::ReadAt(used, 0, 64 * kMiB);
  PoolStatus status = EnsureOn({a, used});
  ASSERT_TRUE(status.ready) << status.reason << status.message;
  EXPECT_EQ(status.devices, std::vector{a});
  EXPECT_GT(status.usage.capacity_bytes, 195 * kMiB);
  EXPECT_EQ(Block("large", 250 * kMiB).code(), StatusCode::kResourceExhausted);
  status = EnsureOn({a, b, used});
  EXPECT_EQ(status.devices.size(), 2u);
  EXPECT_GT(status.usage.largest_bytes, 290 * kMiB);
  EXPECT_LT(status.usage.largest_bytes, 300 * kMiB);
  EXPECT_GT(status.usage.allocatable_bytes, 490 * kMiB);
  EXPECT_EQ(Block("large", 250 * kMiB), absl::OkStatus());
  EXPECT_EQ(DriveOf(NodeOf("large")), b);
  EXPECT_EQ(Block("small", 40 * kMiB), absl::OkStatus());
  EXPECT_EQ(DriveOf(NodeOf("small")), b) << "the smallest room that is large enough";
  EXPECT_EQ(*sys::ReadAt(used, 0, 64 * kMiB), before);
}

TEST_F(PartitionTest, ANodeThatLostItsStateFindsPoolAndVolumesOnTheDrives) {
  const std::string drive = lab_->MakeDrive(200 * kMiB);
  ASSERT_TRUE(EnsureOn({drive}).ready);
  ASSERT_EQ(Block("keep", 20 * kMiB), absl::OkStatus());
  const StoredVolume before = *Backend()->Find("keep");
  agent_.reset();
  ASSERT_EQ(sys::RunChecked(*std::make_unique<sys::PosixCommandRunner>(), {},
                            {"rm", "-r", lab_->Path("state")}),
            absl::OkStatus());
  agent_ = Start();
  ASSERT_TRUE(EnsureOn({drive}).ready);
  ASSERT_EQ(agent_->volumes.List().size(), 1u);
  EXPECT_EQ(Backend()->Find("keep")->facts, before.facts);
  EXPECT_EQ(agent_->volumes.Remove({}, "keep"), absl::OkStatus());
}

TEST_F(PartitionTest, AVolumeIsFoundWhereverItsDriveIs) {
  const std::string a = lab_->MakeDrive(200 * kMiB), b = lab_->MakeDrive(200 * kMiB);
  ASSERT_TRUE(EnsureOn({a, b}).ready);
  ASSERT_EQ(Block("v", 20 * kMiB), absl::OkStatus());
  const std::string home = DriveOf(NodeOf("v")), other = home == a ? b : a;
  ASSERT_EQ(sys::WriteAt(NodeOf("v"), kMiB, "mine"), absl::OkStatus());
  agent_.reset();
  // As after a boot that found the drives in another order: each has the bytes of the other.
  const std::string bytes_a = *sys::ReadAt(a, 0, 200 * kMiB),
                    bytes_b = *sys::ReadAt(b, 0, 200 * kMiB);
  ASSERT_EQ(sys::WriteAt(a, 0, bytes_b), absl::OkStatus());
  ASSERT_EQ(sys::WriteAt(b, 0, bytes_a), absl::OkStatus());
  agent_ = Start();
  EXPECT_TRUE(EnsureOn({a, b}).ready);
  EXPECT_EQ(DriveOf(NodeOf("v")), other);
  EXPECT_EQ(*sys::ReadAt(NodeOf("v"), kMiB, 4), "mine");
}

TEST_F(PartitionTest, ADriveThatWasCopiedIsAmbiguous) {
  const std::string a = lab_->MakeDrive(64 * kMiB), b = lab_->MakeDrive(64 * kMiB);
  ASSERT_TRUE(EnsureOn({a}).ready);
  ASSERT_EQ(sys::WriteAt(b, 0, *sys::ReadAt(a, 0, 64 * kMiB)), absl::OkStatus());
  EXPECT_FALSE(agent_->pools.LookAgain({}));
  EXPECT_TRUE(agent_->pools.Statuses().at(0).ready) << "the copy is not among the named devices";
  PoolSpec spec = {"p", kUid, BackendKind::kPartition, {}, DeviceSource{}};
  spec.devices->paths = {a, b};
  const PoolStatus status = *agent_->pools.Ensure({}, spec);
  EXPECT_FALSE(status.ready);
  EXPECT_EQ(status.reason, "AmbiguousDrives");
}

TEST_F(PartitionTest, ADriveThatMatchesNoLongerTakesNothingAndIsGivenBackWhenItIsEmpty) {
  const std::string a = lab_->MakeDrive(200 * kMiB), b = lab_->MakeDrive(100 * kMiB);
  ASSERT_TRUE(EnsureOn({b}).ready);
  ASSERT_EQ(Block("v", 20 * kMiB), absl::OkStatus());
  // Both are still looked at, as loop devices are only if they are named.
  PoolSpec spec = {"p", kUid, BackendKind::kPartition, {}, DeviceSource{}};
  spec.devices->paths = {a, b};
  spec.devices->min_size_bytes = 150 * kMiB;
  ASSERT_TRUE(agent_->pools.Ensure({}, spec)->ready);
  PoolStatus status = agent_->pools.Statuses().at(0);
  EXPECT_EQ(status.devices.size(), 2u);
  EXPECT_EQ(status.usage.allocated_bytes, 20 * kMiB);
  ASSERT_EQ(Block("w", 20 * kMiB), absl::OkStatus());
  EXPECT_EQ(DriveOf(NodeOf("w")), a) << "although there is a smaller room on the other";
  ASSERT_EQ(agent_->volumes.Remove({}, "v"), absl::OkStatus());
  ASSERT_TRUE(agent_->pools.LookAgain({}));
  EXPECT_EQ(agent_->pools.Statuses().at(0).devices, std::vector{a});
  EXPECT_TRUE(sys::ProbeSignature(b)->empty()) << sys::ProbeSignature(b)->partition_table;
}

TEST_F(PartitionTest, ADrainedDriveTakesNothingAndIsGivenBackWhenItIsEmpty) {
  const std::string a = lab_->MakeDrive(200 * kMiB), b = lab_->MakeDrive(100 * kMiB);
  const PoolStatus both = EnsureOn({a, b});
  ASSERT_EQ(Block("v", 20 * kMiB), absl::OkStatus());
  ASSERT_EQ(DriveOf(NodeOf("v")), b);
  PoolSpec spec = {"p", kUid, BackendKind::kPartition, {}, DeviceSource{}};
  spec.devices->paths = {a, b};
  spec.drain = {b};
  PoolStatus status = *agent_->pools.Ensure({}, spec);
  EXPECT_TRUE(status.ready);
  EXPECT_EQ(status.reason, "Draining");
  EXPECT_THAT(status.message, HasSubstr(b));
  EXPECT_EQ(status.devices.size(), 2u);
  EXPECT_LT(status.usage.allocatable_bytes, both.usage.allocatable_bytes - 70 * kMiB);
  ASSERT_EQ(Block("w", 20 * kMiB), absl::OkStatus());
  EXPECT_EQ(DriveOf(NodeOf("w")), a);
  ASSERT_EQ(agent_->volumes.Remove({}, "v"), absl::OkStatus());
  ASSERT_TRUE(agent_->pools.LookAtRestless({}));
  status = agent_->pools.Statuses().at(0);
  EXPECT_EQ(status.devices, std::vector{a});
  EXPECT_EQ(status.reason, "");
  EXPECT_TRUE(sys::ProbeSignature(b)->empty());
  EXPECT_FALSE(agent_->pools.LookAgain({})) << "it is not taken while it is named";
  EXPECT_EQ(EnsureOn({a, b}).devices.size(), 2u);
}

TEST_F(PartitionTest, OneThatIsFollowedByAnotherCannotGrowAndSaysHowFar) {
  const std::string drive = lab_->MakeDrive(200 * kMiB);
  ASSERT_TRUE(EnsureOn({drive}).ready);
  for (const char* id : {"a", "b", "c"}) ASSERT_EQ(Block(id, 20 * kMiB), absl::OkStatus());
  ASSERT_EQ(agent_->volumes.Remove({}, "b"), absl::OkStatus());
  const auto grown = Backend()->Grow({}, "a", 60 * kMiB);
  EXPECT_EQ(grown.status().code(), StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(grown.status().message()), HasSubstr(absl::StrCat(40 * kMiB)));
  // While others are in use.
  const auto held = sys::OpenFile(NodeOf("c"), O_RDWR | O_EXCL);
  ASSERT_TRUE(held.ok()) << held.status();
  const auto possible = Backend()->Grow({}, "a", 40 * kMiB);
  ASSERT_TRUE(possible.ok()) << possible.status();
  EXPECT_EQ(*sys::BlockDeviceBytes(NodeOf("a")), 40 * kMiB);
}

TEST_F(PartitionTest, WhatWasOnADriveBeforeIsNeverShown) {
  const std::string drive = lab_->MakeDrive(100 * kMiB);
  ASSERT_EQ(sys::WriteAt(drive, 2 * kMiB, std::string(90 * kMiB, 'x')), absl::OkStatus());
  ASSERT_TRUE(EnsureOn({drive}).ready);
  ASSERT_EQ(Block("a", 20 * kMiB), absl::OkStatus());
  EXPECT_EQ(sys::ReadAt(NodeOf("a"), 0, 20 * kMiB)->find('x'), std::string::npos);
  const auto grown = Backend()->Grow({}, "a", 40 * kMiB);
  ASSERT_TRUE(grown.ok()) << grown.status();
  EXPECT_EQ(sys::ReadAt(NodeOf("a"), 0, 40 * kMiB)->find('x'), std::string::npos);
  Restart();
  ASSERT_EQ(Block("b", 30 * kMiB), absl::OkStatus());
  EXPECT_EQ(sys::ReadAt(NodeOf("b"), 0, 30 * kMiB)->find('x'), std::string::npos);
}

TEST_F(PartitionTest, ARemovalLeavesNoByteOnTheDrive) {
  const std::string drive = lab_->MakeDrive(100 * kMiB);
  ASSERT_TRUE(EnsureOn({drive}).ready);
  ASSERT_EQ(Block("a", 20 * kMiB), absl::OkStatus());
  ASSERT_EQ(sys::WriteAt(NodeOf("a"), 0, std::string(20 * kMiB, '\xa5')), absl::OkStatus());
  ASSERT_EQ(agent_->volumes.Remove({}, "a"), absl::OkStatus());
  EXPECT_EQ(sys::ReadAt(drive, 0, 100 * kMiB)->find("\xa5\xa5\xa5\xa5"), std::string::npos);
}

// A process that takes a drive and makes, grows and removes volumes is killed before each of its
// system calls that change something. The next one finds what was acknowledged, and nothing else.
TEST_F(PartitionTest, WhateverIsInterruptedIsWholeOrGone) {
  for (int fatal = 0;; ++fatal) {
    agent_.reset();
    lab_ = std::make_unique<LoopLab>();
    const std::string drive = lab_->MakeDrive(64 * kMiB);
    const KilledRun run = RunAndKill(fatal, [&](const std::function<void()>& acknowledge) {
      agent_ = Start();
      if (!EnsureOn({drive}).ready) return false;
      acknowledge();
      if (!Block("v", 4 * kMiB).ok()) return false;
      acknowledge();
      if (!agent_->volumes.Resize({}, "v", 8 * kMiB).ok()) return false;
      acknowledge();
      if (!agent_->volumes.Remove({}, "v").ok()) return false;
      acknowledge();
      return true;
    });
    if (run.call.empty()) {
      EXPECT_TRUE(run.succeeded);
      EXPECT_GT(fatal, 50) << "the killer saw nothing";
      break;
    }
    SCOPED_TRACE(absl::StrCat("killed before call ", fatal, ", ", run.call, ", acknowledged ",
                              run.acknowledged));
    agent_ = Start();
    const PoolStatus status = EnsureOn({drive});
    ASSERT_TRUE(status.ready) << status.reason << status.message;
    if (run.acknowledged == 2) {
      ASSERT_EQ(agent_->volumes.List().size(), 1u);
      ASSERT_EQ(agent_->volumes.Resize({}, "v", 8 * kMiB).status(), absl::OkStatus());
    }
    ASSERT_EQ(agent_->volumes.Remove({}, "v"), absl::OkStatus());
    EXPECT_TRUE(agent_->volumes.List().empty());
    ASSERT_EQ(Block("v", 8 * kMiB), absl::OkStatus());
    EXPECT_EQ(sys::StatFile(NodeOf("v"))->is_block_device, true);
    ASSERT_EQ(agent_->volumes.Remove({}, "v"), absl::OkStatus());
    EXPECT_TRUE(agent_->volumes.List().empty());
  }
}

}  // namespace
}  // namespace ashlar::node_agent
