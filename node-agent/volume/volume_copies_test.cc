// What a real kernel cannot be made to do while a volume is copied.
#include <filesystem>

#include "gtest/gtest.h"
#include "lib/base/testing/simulated_clock.h"
#include "lib/base/testing/temporary_directory.h"
#include "node-agent/testing/fake_backend.h"
#include "node-agent/testing/fake_kernel.h"
#include "node-agent/volume/freeze_window.h"
#include "node-agent/volume/volume_manager.h"

namespace ashlar::node_agent {
namespace {

class CopiesInMemory : public testing::Test {
 protected:
  void SetUp() override {
    std::filesystem::create_directory(temporary_.path() + "/journal");
    Restart();
    for (const std::string id : {"v", "w"}) {
      const VolumeMode mode = VolumeMode::kFilesystem;
      ASSERT_TRUE(volumes_->Ensure({}, {id, "p", 20 * kMiB, mode, "ext4"}).ok());
      ASSERT_TRUE(volumes_->Stage({}, {id, "/kubelet/" + id, mode, "ext4", {}}).ok());
    }
  }
  void Restart() {
    volumes_ = std::make_unique<VolumeManager>(
        VolumeEnvironment{pools_, journal_, commands_, kernel_.mounts(), kernel_.loops(), clock_,
                          attributes_},
        PathPolicy({"/kubelet"}), "boot-1");
    ASSERT_EQ(volumes_->Recover({}), absl::OkStatus());
  }
  absl::Status TakeBoth() {
    return volumes_->EnsureSnapshots({}, {{"s", "v"}, {"t", "w"}}).status();
  }
  bool AnyFrozen() { return kernel_.IsFrozen("/kubelet/v") || kernel_.IsFrozen("/kubelet/w"); }

  TemporaryDirectory temporary_;
  FakeKernel kernel_;
  RealClock clock_;
  std::shared_ptr<FakeBackend> backend_ =
      std::make_shared<FakeBackend>(temporary_.path(), 500 * kMiB);
  FakePools pools_{backend_};
  FileJournal journal_{temporary_.path() + "/journal"};
  AttributeTable attributes_{temporary_.path() + "/journal"};
  sys::PosixCommandRunner commands_;
  std::unique_ptr<VolumeManager> volumes_;
};

TEST_F(CopiesInMemory, NothingIsFrozenOrLeftWhenAMemberOfAGroupCannotBeFrozenOrCopied) {
  kernel_.failures().FailNext("Freeze", absl::FailedPreconditionError("frozen by somebody"));
  EXPECT_EQ(TakeBoth().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_FALSE(AnyFrozen());
  backend_->failures().FailNext("Create", absl::ResourceExhaustedError("full"));
  EXPECT_EQ(TakeBoth().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_FALSE(AnyFrozen());
  EXPECT_EQ(volumes_->List().size(), 2u);
  EXPECT_EQ(backend_->List()->size(), 2u);
  EXPECT_EQ(TakeBoth(), absl::OkStatus());
  EXPECT_FALSE(AnyFrozen());
  EXPECT_EQ(volumes_->List().size(), 4u);
}

TEST_F(CopiesInMemory, WhatCouldNotBeThawedIsThawedByTheNextProcess) {
  kernel_.failures().FailNext("Thaw", absl::InternalError("not now"));
  EXPECT_FALSE(volumes_->EnsureSnapshots({}, {{"s", "v"}}).ok());
  Restart();
  EXPECT_FALSE(AnyFrozen());
  EXPECT_EQ(TakeBoth(), absl::OkStatus());
}

TEST(FreezeWindow, ThawsWhenItsTimeHasRunOutAndSaysSo) {
  TemporaryDirectory temporary;
  FakeKernel kernel;
  FakeBackend backend(temporary.path(), 100 * kMiB);
  const auto image =
      backend.Create({}, {"v", "p", "u", VolumeMode::kFilesystem, "ext4"}, 20 * kMiB, "");
  const auto held = kernel.loops().Attach({}, image->path, {"label", true, false});
  ASSERT_TRUE(kernel.mounts().MountDevice({}, held->device.path, "/m", "ext4", {}).ok());
  SimulatedClock clock;
  FreezeWindow window(kernel.mounts(), clock, absl::Seconds(10));
  ASSERT_EQ(window.Freeze("/m"), absl::OkStatus());
  EXPECT_TRUE(kernel.IsFrozen("/m"));
  clock.AwaitWaiters(1);
  clock.Advance(absl::Seconds(11));
  while (kernel.IsFrozen("/m")) std::this_thread::yield();
  EXPECT_EQ(window.Thaw().code(), absl::StatusCode::kDeadlineExceeded);
  {
    FreezeWindow abandoned(kernel.mounts(), clock);
    ASSERT_EQ(abandoned.Freeze("/m"), absl::OkStatus());
  }
  EXPECT_FALSE(kernel.IsFrozen("/m"));
}

}  // namespace
}  // namespace ashlar::node_agent
