// Pools of whole drives on real block devices.
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "lib/base/log.h"
#include "lib/system/block_device.h"
#include "lib/system/files.h"
#include "node-agent/testing/loop_lab.h"
#include "node-agent/testing/syscall_killer.h"

namespace ashlar::node_agent {
namespace {

using absl::StatusCode;

constexpr char kUid[] = "0f8fad5b-d9cb-469f-a165-70867728950e";

class WholeDriveTest : public testing::Test {
 protected:
  void SetUp() override {
    ASHLAR_NEEDS_LOOP_LAB();
    SetLogLevel(LogLevel::kError);
    lab_ = std::make_unique<LoopLab>();
    Start();
  }
  void TearDown() override { SetLogLevel(LogLevel::kInfo); }
  void Start() {
    agent_.reset();
    agent_ = std::make_unique<AgentStack>(lab_->Path("state"), std::vector{lab_->Path("kubelet")});
    EXPECT_EQ(agent_->Start(), absl::OkStatus());
  }
  PoolStatus EnsureOn(const std::vector<std::string>& paths) {
    PoolSpec spec = {"p", kUid, BackendKind::kWholeDrive, {}, DeviceSource{}};
    spec.devices->paths = paths;
    const auto status = agent_->pools.Ensure({}, spec);
    EXPECT_TRUE(status.ok()) << status.status();
    if (status.ok() && status->ready) {
      EXPECT_EQ(agent_->volumes.Adopt({}, "p"), absl::OkStatus());
    }
    return status.value_or(PoolStatus{});
  }
  absl::Status Make(const std::string& id, int64_t size) {
    return agent_->volumes.Ensure({}, {id, "p", size, VolumeMode::kFilesystem, "ext4"}).status();
  }
  absl::Status Block(const std::string& id, int64_t size) {
    return agent_->volumes.Ensure({}, {id, "p", size, VolumeMode::kBlock, ""}).status();
  }
  std::string NodeOf(const std::string& id) {
    return sys::RealPath((*agent_->pools.Backend("p"))->Find(id)->path).value_or("");
  }

  std::unique_ptr<LoopLab> lab_;
  std::unique_ptr<AgentStack> agent_;
};

TEST_F(WholeDriveTest, AVolumeIsTheSmallestFreeDriveThatIsLargeEnough) {
  const std::string small = lab_->MakeDrive(64 * kMiB), large = lab_->MakeDrive(256 * kMiB),
                    middle = lab_->MakeDrive(128 * kMiB), used = lab_->MakeDrive(100 * kMiB);
  ASSERT_EQ(sys::RunChecked(agent_->commands, {}, {"mkfs.ext4", "-q", used}), absl::OkStatus());
  const std::string before = *sys::ReadAt(used, 0, 100 * kMiB);
  const PoolStatus status = EnsureOn({small, middle, large, used});
  ASSERT_TRUE(status.ready) << status.reason << status.message;
  EXPECT_EQ(status.usage.capacity_bytes, 448 * kMiB);
  EXPECT_EQ(status.usage.largest_bytes, 256 * kMiB);
  ASSERT_EQ(Make("v", 90 * kMiB), absl::OkStatus());
  EXPECT_EQ(NodeOf("v"), middle);
  EXPECT_EQ(agent_->volumes.List().at(0).size_bytes, 128 * kMiB);
  ASSERT_EQ(Make("w", 90 * kMiB), absl::OkStatus());
  EXPECT_EQ(NodeOf("w"), large);
  EXPECT_EQ(Make("x", 90 * kMiB).code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(*sys::ReadAt(used, 0, 100 * kMiB), before);
}

TEST_F(WholeDriveTest, ADriveThatSomebodyTookSinceIsNotTouched) {
  const std::string drive = lab_->MakeDrive(64 * kMiB);
  ASSERT_TRUE(EnsureOn({drive}).ready);
  ASSERT_EQ(sys::RunChecked(agent_->commands, {}, {"mkfs.ext4", "-q", drive}), absl::OkStatus());
  const std::string before = *sys::ReadAt(drive, 0, 64 * kMiB);
  EXPECT_EQ(Make("v", 20 * kMiB).code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(*sys::ReadAt(drive, 0, 64 * kMiB), before);
}

TEST_F(WholeDriveTest, WithoutItsRecordAVolumeIsNobodysUntilItIsAskedForAgain) {
  const std::string drive = lab_->MakeDrive(64 * kMiB);
  ASSERT_TRUE(EnsureOn({drive}).ready);
  ASSERT_EQ(Make("v", 20 * kMiB), absl::OkStatus());
  const std::string before = *sys::ReadAt(drive, 0, 64 * kMiB);
  agent_.reset();
  std::filesystem::remove_all(lab_->Path("state"));
  Start();
  const PoolStatus status = EnsureOn({drive});
  EXPECT_EQ(status.reason, "NoFreeDrive");
  EXPECT_EQ(status.message, absl::StrCat("no matching drive is free: ", drive,
                                         " bears a volume whose record was lost"));
  EXPECT_EQ(*sys::ReadAt(drive, 0, 64 * kMiB), before);
  const std::string more = lab_->MakeDrive(64 * kMiB);
  ASSERT_TRUE(EnsureOn({drive, more}).ready);
  ASSERT_EQ(Make("v", 20 * kMiB), absl::OkStatus());
  EXPECT_EQ(NodeOf("v"), drive);
  EXPECT_EQ(*sys::ReadAt(drive, 0, 64 * kMiB), before);
}

TEST_F(WholeDriveTest, ABlockVolumeIsFoundAgainAndWithoutItsRecordItsDriveIsNotFree) {
  const std::string drive = lab_->MakeDrive(64 * kMiB);
  ASSERT_TRUE(EnsureOn({drive}).ready);
  ASSERT_EQ(Block("v", 20 * kMiB), absl::OkStatus());
  ASSERT_EQ(sys::WriteAt(NodeOf("v"), 63 * kMiB + 4096, "raw"), absl::OkStatus());
  Start();
  ASSERT_TRUE(EnsureOn({drive}).ready);
  ASSERT_EQ((*agent_->pools.Backend("p"))->Prepare({}, "v").status(), absl::OkStatus());
  EXPECT_EQ(NodeOf("v"), drive);
  EXPECT_EQ(*sys::ReadAt(drive, 63 * kMiB + 4096, 3), "raw");
  agent_.reset();
  std::filesystem::remove_all(lab_->Path("state"));
  Start();
  const PoolStatus status = EnsureOn({drive});
  EXPECT_EQ(status.reason, "NoFreeDrive");
  EXPECT_EQ(status.message,
            absl::StrCat("no matching drive is free: ", drive, " holds data of an unknown kind"));
  EXPECT_EQ(*sys::ReadAt(drive, 63 * kMiB + 4096, 3), "raw");
}

TEST_F(WholeDriveTest, ADriveOnWhichSomethingWasWrittenSinceIsNotTouched) {
  const std::string drive = lab_->MakeDrive(64 * kMiB);
  ASSERT_TRUE(EnsureOn({drive}).ready);
  ASSERT_EQ(sys::WriteAt(drive, 512, "raw"), absl::OkStatus());
  EXPECT_EQ(Block("v", 20 * kMiB).code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(*sys::ReadAt(drive, 512, 3), "raw");
}

TEST_F(WholeDriveTest, ADrainedDriveStaysAVolumeAndBecomesNoOtherOne) {
  const std::string a = lab_->MakeDrive(64 * kMiB), b = lab_->MakeDrive(64 * kMiB);
  ASSERT_TRUE(EnsureOn({a, b}).ready);
  ASSERT_EQ(Make("v", 20 * kMiB), absl::OkStatus());
  const std::string home = NodeOf("v");
  PoolSpec spec = {"p", kUid, BackendKind::kWholeDrive, {}, DeviceSource{}};
  spec.devices->paths = {a, b};
  spec.drain = {a, b};
  PoolStatus status = *agent_->pools.Ensure({}, spec);
  EXPECT_TRUE(status.ready);
  EXPECT_EQ(status.reason, "Draining");
  EXPECT_EQ(status.devices, std::vector{home});
  EXPECT_EQ(status.usage.allocatable_bytes, 0);
  EXPECT_EQ(Make("w", 20 * kMiB).code(), StatusCode::kResourceExhausted);
  ASSERT_EQ(agent_->volumes.Remove({}, "v"), absl::OkStatus());
  agent_->pools.LookAtRestless({});
  status = agent_->pools.Statuses().at(0);
  EXPECT_EQ(status.reason, "NoFreeDrive");
  EXPECT_NE(status.message.find("is named in spec.drain"), std::string::npos) << status.message;
  EXPECT_TRUE(EnsureOn({a, b}).ready);
}

TEST_F(WholeDriveTest, ARemovalLeavesNoByteOnTheDrive) {
  const std::string drive = lab_->MakeDrive(64 * kMiB);
  ASSERT_TRUE(EnsureOn({drive}).ready);
  ASSERT_EQ(Make("v", 20 * kMiB), absl::OkStatus());
  ASSERT_EQ(sys::WriteAt(drive, 32 * kMiB, std::string(kMiB, '\xa5')), absl::OkStatus());
  ASSERT_EQ(agent_->volumes.Remove({}, "v"), absl::OkStatus());
  EXPECT_EQ(*sys::ReadAt(drive, 0, 64 * kMiB), std::string(64 * kMiB, '\0'));
  EXPECT_EQ(agent_->pools.Statuses().at(0).usage.largest_bytes, 64 * kMiB);
}

TEST_F(WholeDriveTest, WhateverIsInterruptedIsWholeOrGone) {
  for (int fatal = 0;; ++fatal) {
    agent_.reset();
    lab_ = std::make_unique<LoopLab>();
    const std::string drive = lab_->MakeDrive(32 * kMiB);
    const KilledRun run = RunAndKill(fatal, [&](const std::function<void()>& acknowledge) {
      Start();
      if (!EnsureOn({drive}).ready) return false;
      if (!Make("v", 20 * kMiB).ok()) return false;
      acknowledge();
      if (!agent_->volumes.Remove({}, "v").ok()) return false;
      acknowledge();
      return true;
    });
    if (run.call.empty()) {
      EXPECT_TRUE(run.succeeded);
      EXPECT_GT(fatal, 20) << "the killer saw nothing";
      break;
    }
    SCOPED_TRACE(absl::StrCat("killed before call ", fatal, ", ", run.call, ", acknowledged ",
                              run.acknowledged));
    Start();
    const PoolStatus status = EnsureOn({drive});
    ASSERT_TRUE(status.ready) << status.reason << status.message;
    ASSERT_EQ(Make("v", 20 * kMiB), absl::OkStatus());
    ASSERT_EQ(agent_->volumes.Remove({}, "v"), absl::OkStatus());
    EXPECT_TRUE(agent_->volumes.List().empty());
    EXPECT_TRUE(std::filesystem::is_empty(lab_->Path("state/drives/p")));
  }
}

}  // namespace
}  // namespace ashlar::node_agent
