// VolumeManager over a kernel and a backend in memory: what real ones cannot be made to do.
#include "node-agent/volume/volume_manager.h"

#include <algorithm>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/base/testing/temporary_directory.h"
#include "node-agent/testing/backend_contract.h"
#include "node-agent/testing/fake_backend.h"
#include "node-agent/testing/fake_kernel.h"
#include "node-agent/testing/kernel_contract.h"
#include "node-agent/volume/journal.h"

namespace ashlar::node_agent {
namespace {

using absl::StatusCode;

class FakeKernelUnderTest final : public KernelUnderTest {
 public:
  sys::LoopDevices& loops() override { return kernel_.loops(); }
  sys::MountTable& mounts() override { return kernel_.mounts(); }
  std::string folder() const override { return temporary_.path(); }
  std::string MakeImage(const std::string& name) override {
    FakeBackend backend(temporary_.path(), 100 * kMiB);
    return backend.Create({}, {name, "p", "u", VolumeMode::kFilesystem, "ext4"}, 20 * kMiB, "")
        ->path;
  }

 private:
  TemporaryDirectory temporary_;
  FakeKernel kernel_;
};

INSTANTIATE_TEST_SUITE_P(Fake, KernelContract,
                         testing::Values(KernelParam{
                             "Fake", [] { return std::make_unique<FakeKernelUnderTest>(); }}));

class FakeBackendUnderTest final : public BackendUnderTest {
 public:
  StorageBackend& backend() override { return backend_; }
  void Reopen() override {}  // what it holds in memory is its medium

 private:
  TemporaryDirectory temporary_;
  FakeBackend backend_{temporary_.path(), 500 * kMiB};
};

class FakeDrivesUnderTest final : public BackendUnderTest {
 public:
  StorageBackend& backend() override { return backend_; }
  void Reopen() override {}

 private:
  TemporaryDirectory temporary_;
  FakeBackend backend_{temporary_.path(), {{"a", 300 * kMiB}, {"b", 200 * kMiB}}};
};

INSTANTIATE_TEST_SUITE_P(Fake, BackendContract,
                         testing::Values(BackendParam{
                             "Fake", [] { return std::make_unique<FakeBackendUnderTest>(); }}));
INSTANTIATE_TEST_SUITE_P(
    Fake, NamedDriveContract,
    testing::Values(BackendParam{"Fake", [] { return std::make_unique<FakeBackendUnderTest>(); }},
                    BackendParam{"Drives",
                                 [] { return std::make_unique<FakeDrivesUnderTest>(); }}));

class VolumeManagerTest : public testing::Test {
 protected:
  void SetUp() override {
    std::filesystem::create_directory(temporary_.path() + "/journal");
    Restart();
  }
  void Restart() {
    volumes_ = std::make_unique<VolumeManager>(
        VolumeEnvironment{pools_, journal_, commands_, kernel_.mounts(), kernel_.loops(), clock_,
                          attributes_},
        PathPolicy({"/kubelet"}), "boot-1");
    ASSERT_EQ(volumes_->Recover({}), absl::OkStatus());
  }
  absl::Status Ensure(int64_t size_bytes) {
    return volumes_->Ensure({}, {"v", "p", size_bytes, VolumeMode::kFilesystem, "ext4"}).status();
  }
  absl::Status Stage() {
    return volumes_->Stage({}, {"v", "/kubelet/staging", VolumeMode::kFilesystem, "ext4", {}});
  }
  absl::Status Publish() {
    return volumes_->Publish(
        {},
        {"v", "/kubelet/staging", "/kubelet/target", VolumeMode::kFilesystem, false, {}, false});
  }
  absl::Status Unpublish() { return volumes_->Unpublish({}, "v", "/kubelet/target"); }
  absl::Status Unstage() { return volumes_->Unstage({}, "v", "/kubelet/staging"); }
  VolumeStatus Status() {
    const std::vector<VolumeStatus> all = volumes_->List();
    EXPECT_EQ(all.size(), 1u);
    return all.empty() ? VolumeStatus{} : all[0];
  }
  bool MountedAt(const std::string& target) { return kernel_.mounts().Find(target).ok(); }
  void ExpectNothingAttached() {
    EXPECT_TRUE(kernel_.loops().List()->empty());
    EXPECT_TRUE(kernel_.mounts().List()->empty());
  }

  TemporaryDirectory temporary_;
  FakeKernel kernel_;
  std::shared_ptr<FakeBackend> backend_ =
      std::make_shared<FakeBackend>(temporary_.path(), 500 * kMiB);
  FakePools pools_{backend_};
  FileJournal journal_{temporary_.path() + "/journal"};
  sys::PosixCommandRunner commands_;
  RealClock clock_;
  AttributeTable attributes_{temporary_.path() + "/journal"};
  std::unique_ptr<VolumeManager> volumes_;
};

TEST_F(VolumeManagerTest, AttributesAreKeptOverAResizeAndGoWithTheVolume) {
  ASSERT_EQ(Ensure(20 * kMiB), absl::OkStatus());
  const VolumeAttributes attributes = {{100, 0, 0, 0}, TrimSchedule::kDaily};
  ASSERT_TRUE(volumes_->Modify({}, "v", attributes).ok());
  EXPECT_EQ(Status().attributes, attributes);
  ASSERT_TRUE(volumes_->Resize({}, "v", 30 * kMiB).ok());
  EXPECT_EQ(Status().attributes, attributes);
  ASSERT_EQ(volumes_->Remove({}, "v"), absl::OkStatus());
  ASSERT_EQ(Ensure(20 * kMiB), absl::OkStatus());
  EXPECT_EQ(Status().attributes, VolumeAttributes{});
}

TEST_F(VolumeManagerTest, ImpossibleAttributesAreRefused) {
  EXPECT_EQ(volumes_->Modify({}, "v", {}).status().code(), StatusCode::kNotFound);
  ASSERT_EQ(Ensure(20 * kMiB), absl::OkStatus());
  EXPECT_EQ(volumes_->Modify({}, "v", {{0, -1, 0, 0}, {}}).status().code(),
            StatusCode::kInvalidArgument);
  EXPECT_EQ(Status().attributes, VolumeAttributes{});
}

TEST_F(VolumeManagerTest, UsesTellWhatIsAttachedAndWherePodsSeeIt) {
  ASSERT_EQ(Ensure(20 * kMiB), absl::OkStatus());
  EXPECT_TRUE(volumes_->Uses().empty());
  ASSERT_TRUE(volumes_->Modify({}, "v", {{100, 0, 0, 0}, {}}).ok());
  ASSERT_EQ(Stage(), absl::OkStatus());
  ASSERT_EQ(Publish(), absl::OkStatus());
  const std::vector<VolumeUse> uses = volumes_->Uses();
  ASSERT_EQ(uses.size(), 1u);
  EXPECT_EQ(uses[0].id, "v");
  EXPECT_EQ(uses[0].mount_point, "/kubelet/staging");
  EXPECT_EQ(uses[0].targets, std::vector<std::string>{"/kubelet/target"});
  EXPECT_EQ(uses[0].attributes.limits.read_iops, 100);
  ASSERT_EQ(Unpublish(), absl::OkStatus());
  ASSERT_EQ(volumes_->Uses().size(), 1u);
  EXPECT_TRUE(volumes_->Uses()[0].targets.empty());
  ASSERT_EQ(Unstage(), absl::OkStatus());
  EXPECT_TRUE(volumes_->Uses().empty());
}

TEST_F(VolumeManagerTest, ATargetThatIsBusyStaysPublishedAndTheCallCanBeRepeated) {
  ASSERT_EQ(Ensure(20 * kMiB), absl::OkStatus());
  ASSERT_EQ(Stage(), absl::OkStatus());
  ASSERT_EQ(Publish(), absl::OkStatus());
  kernel_.failures().FailNext("Unmount", absl::FailedPreconditionError("files are open"));
  EXPECT_EQ(Unpublish().code(), StatusCode::kFailedPrecondition);
  EXPECT_EQ(Status().publications, 1);
  EXPECT_TRUE(MountedAt("/kubelet/target"));
  EXPECT_EQ(Unstage().code(), StatusCode::kFailedPrecondition) << "still published";
  EXPECT_EQ(Unpublish(), absl::OkStatus());
  EXPECT_EQ(Unstage(), absl::OkStatus());
  ExpectNothingAttached();
}

TEST_F(VolumeManagerTest, AStagedVolumeThatCouldNotBeUnstagedAndIsStagedAgainSurvivesARestart) {
  ASSERT_EQ(Ensure(20 * kMiB), absl::OkStatus());
  ASSERT_EQ(Stage(), absl::OkStatus());
  kernel_.failures().FailNext("Unmount", absl::FailedPreconditionError("files are open"));
  EXPECT_EQ(Unstage().code(), StatusCode::kFailedPrecondition);
  ASSERT_EQ(Stage(), absl::OkStatus());
  Restart();
  EXPECT_TRUE(MountedAt("/kubelet/staging")) << "whoever staged it again was told that it is";
  EXPECT_EQ(Publish(), absl::OkStatus());
}

TEST_F(VolumeManagerTest, AnUnstagingThatWasRefusedIsFinishedByARestart) {
  ASSERT_EQ(Ensure(20 * kMiB), absl::OkStatus());
  ASSERT_EQ(Stage(), absl::OkStatus());
  kernel_.failures().FailNext("Unmount", absl::FailedPreconditionError("files are open"));
  EXPECT_EQ(Unstage().code(), StatusCode::kFailedPrecondition);
  Restart();
  ExpectNothingAttached();
  EXPECT_FALSE(Status().staged);
}

TEST_F(VolumeManagerTest, AMountThatFailsAfterTheAttachmentLeavesNothingAttached) {
  ASSERT_EQ(Ensure(20 * kMiB), absl::OkStatus());
  kernel_.failures().FailNext("MountDevice", absl::InternalError("bad superblock"));
  EXPECT_EQ(Stage().code(), StatusCode::kInternal);
  ExpectNothingAttached();
  EXPECT_FALSE(Status().staged);
  EXPECT_EQ(Stage(), absl::OkStatus());
}

TEST_F(VolumeManagerTest, ABindThatFailsLeavesTheVolumeStagedAndNotPublished) {
  ASSERT_EQ(Ensure(20 * kMiB), absl::OkStatus());
  ASSERT_EQ(Stage(), absl::OkStatus());
  kernel_.failures().FailNext("Bind", absl::InternalError("no memory"));
  EXPECT_EQ(Publish().code(), StatusCode::kInternal);
  EXPECT_EQ(Status().publications, 0);
  EXPECT_TRUE(Status().staged);
  EXPECT_EQ(Publish(), absl::OkStatus());
}

TEST_F(VolumeManagerTest, ACarvingWithoutSpaceLeavesNoVolumeAndNoRecord) {
  EXPECT_EQ(Ensure(600 * kMiB).code(), StatusCode::kResourceExhausted);
  EXPECT_TRUE(volumes_->List().empty());
  EXPECT_TRUE(journal_.Load()->empty());
  backend_->failures().FailNext("Create", absl::ResourceExhaustedError("full while allocating"));
  EXPECT_EQ(Ensure(20 * kMiB).code(), StatusCode::kResourceExhausted);
  EXPECT_TRUE(volumes_->List().empty());
  EXPECT_EQ(Ensure(20 * kMiB), absl::OkStatus());
}

TEST_F(VolumeManagerTest, AGrowthWithoutSpaceLeavesAStagedVolumeAsItWas) {
  ASSERT_EQ(Ensure(20 * kMiB), absl::OkStatus());
  ASSERT_EQ(Stage(), absl::OkStatus());
  EXPECT_EQ(volumes_->Resize({}, "v", 600 * kMiB).status().code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(Status().size_bytes, 20 * kMiB);
  EXPECT_TRUE(MountedAt("/kubelet/staging"));
  Restart();
  EXPECT_TRUE(MountedAt("/kubelet/staging"));
  EXPECT_EQ(volumes_->Resize({}, "v", 40 * kMiB)->size_bytes, 40 * kMiB);
}

TEST_F(VolumeManagerTest, AGrowthThatCouldNotBeSyncedIsNotAcknowledgedAndCanBeRepeated) {
  ASSERT_EQ(Ensure(20 * kMiB), absl::OkStatus());
  backend_->failures().FailNext("Sync", absl::DataLossError("input/output error"));
  EXPECT_EQ(volumes_->Resize({}, "v", 40 * kMiB).status().code(), StatusCode::kDataLoss);
  EXPECT_EQ(Status().size_bytes, 20 * kMiB);
  EXPECT_EQ(volumes_->Resize({}, "v", 40 * kMiB)->size_bytes, 40 * kMiB);
}

TEST_F(VolumeManagerTest, ARemovalThatFailsKeepsTheVolumeUntilItIsRepeatedOrThePoolIsReadAgain) {
  ASSERT_EQ(Ensure(20 * kMiB), absl::OkStatus());
  backend_->failures().FailNext("Remove", absl::InternalError("input/output error"));
  EXPECT_EQ(volumes_->Remove({}, "v").code(), StatusCode::kInternal);
  EXPECT_EQ(volumes_->List().size(), 1u);
  Restart();
  EXPECT_TRUE(volumes_->List().empty()) << "a removal that began is finished";
  EXPECT_TRUE(backend_->List()->empty());
}

// The drive that the image lies on goes and comes back.
class ADriveThatWasAway : public VolumeManagerTest {
 protected:
  void SetUp() override {
    VolumeManagerTest::SetUp();
    ASSERT_EQ(Ensure(20 * kMiB), absl::OkStatus());
    ASSERT_EQ(Stage(), absl::OkStatus());
    dead_ = DeviceAt("/kubelet/staging");
  }
  std::string DeviceAt(const std::string& target) {
    const auto mounts = kernel_.mounts().List();
    const sys::MountEntry* mount = sys::FindMount(*mounts, target);
    return mount == nullptr ? "" : mount->source;
  }
  int MountsOf(const std::string& device) {
    const auto mounts = *kernel_.mounts().List();
    return static_cast<int>(std::count_if(
        mounts.begin(), mounts.end(), [&](const auto& mount) { return mount.source == device; }));
  }
  VolumeStatus Look() {
    volumes_->HealStaged({});
    return Status();
  }
  void ExpectAlive() {
    EXPECT_NE(DeviceAt("/kubelet/staging"), "");
    EXPECT_EQ(MountsOf(dead_), 0);
    EXPECT_TRUE(kernel_.loops().Inspect(dead_).status().code() == StatusCode::kNotFound)
        << "the dead device is let go";
    EXPECT_EQ(kernel_.loops().List()->size(), 1u);
  }

  std::string dead_;
};

TEST_F(ADriveThatWasAway, HealsWhatIsStagedAndUsedByNobody) {
  EXPECT_TRUE(Look().healthy);
  kernel_.Lose(dead_);
  EXPECT_TRUE(Look().healthy);
  ExpectAlive();
  EXPECT_EQ(Stage(), absl::OkStatus());
  ExpectAlive();
  EXPECT_EQ(Unstage(), absl::OkStatus());
  ExpectNothingAttached();
}

TEST_F(ADriveThatWasAway, LeavesTheVolumeUnhealthyWhileAPodSeesTheOldFilesystem) {
  ASSERT_EQ(Publish(), absl::OkStatus());
  kernel_.Lose(dead_);
  const VolumeStatus stale = Look();
  EXPECT_FALSE(stale.healthy);
  EXPECT_EQ(stale.reason, "StaleMount");
  EXPECT_THAT(stale.message, testing::HasSubstr("at /kubelet/target: delete them"));
  EXPECT_FALSE(Look().healthy);
  for (const bool restarted : {false, true}) {
    if (restarted) Restart();
    EXPECT_EQ(Status().publications, 1);
  }
  ASSERT_EQ(Unpublish(), absl::OkStatus());
  EXPECT_FALSE(MountedAt("/kubelet/target"));
  ASSERT_EQ(Publish(), absl::OkStatus());
  EXPECT_TRUE(Look().healthy);
  ExpectAlive();
}

TEST_F(ADriveThatWasAway, IsNoticedByStagingAgainAndByPublishing) {
  kernel_.Lose(dead_);
  ASSERT_EQ(Stage(), absl::OkStatus());
  ExpectAlive();
  const std::string alive = DeviceAt("/kubelet/staging");
  ASSERT_EQ(Publish(), absl::OkStatus());
  kernel_.Lose(alive);
  ASSERT_EQ(Publish(), absl::OkStatus()) << "over what a pod has seen there";
  EXPECT_EQ(MountsOf(alive), 0);
  EXPECT_EQ(DeviceAt("/kubelet/target"), DeviceAt("/kubelet/staging"));
  EXPECT_TRUE(Look().healthy);
  EXPECT_EQ(Unpublish(), absl::OkStatus());
  EXPECT_EQ(Unstage(), absl::OkStatus());
  ExpectNothingAttached();
}

TEST_F(ADriveThatWasAway, IsNotForgottenByAnAgentThatStartsAnew) {
  ASSERT_EQ(Publish(), absl::OkStatus());
  kernel_.Lose(dead_);
  Restart();
  EXPECT_TRUE(Status().staged);
  EXPECT_EQ(Status().publications, 1);
  ASSERT_EQ(Unpublish(), absl::OkStatus());
  ASSERT_EQ(Unstage(), absl::OkStatus());
  ExpectNothingAttached();
}

TEST_F(ADriveThatWasAway, IsStagedAnewAtTheNextLookIfItCouldNotBe) {
  kernel_.Lose(dead_);
  kernel_.failures().FailNext("MountDevice", absl::InternalError("not yet"));
  const VolumeStatus failed = Look();
  EXPECT_EQ(failed.reason, "StaleMount");
  EXPECT_THAT(failed.message, testing::HasSubstr("that failed: not yet"));
  EXPECT_TRUE(Look().healthy);
  ExpectAlive();
}

// Between its return and the next look nobody knows whether what is staged is alive.
TEST_F(ADriveThatWasAway, IsHealthyOnlyAfterALookAtWhatIsStaged) {
  const std::string image = Status().path;
  ASSERT_EQ(std::rename(image.c_str(), (image + ".away").c_str()), 0);
  EXPECT_EQ(Look().reason, "DriveMissing");
  ASSERT_EQ(std::rename((image + ".away").c_str(), image.c_str()), 0);
  EXPECT_EQ(Status().reason, "DriveMissing");
  EXPECT_TRUE(Look().healthy);
}

TEST_F(ADriveThatWasAway, IsStagedAnewThoughItWentAgainBeforeItCouldBe) {
  const std::string image = Status().path;
  kernel_.Lose(dead_);
  kernel_.failures().FailNext("MountDevice", absl::InternalError("not yet"));
  EXPECT_EQ(Look().reason, "StaleMount");
  ASSERT_EQ(std::rename(image.c_str(), (image + ".away").c_str()), 0);
  EXPECT_FALSE(Look().healthy);
  ASSERT_EQ(std::rename((image + ".away").c_str(), image.c_str()), 0);
  EXPECT_TRUE(Look().healthy);
  ExpectAlive();
}

TEST_F(VolumeManagerTest, AFilesystemThatHasBecomeReadOnlyMakesTheVolumeUnhealthy) {
  ASSERT_EQ(Ensure(20 * kMiB), absl::OkStatus());
  ASSERT_EQ(Stage(), absl::OkStatus());
  volumes_->HealStaged({});
  EXPECT_TRUE(Status().healthy);
  kernel_.Stain("/kubelet/staging");
  volumes_->HealStaged({});
  EXPECT_FALSE(Status().healthy);
  EXPECT_EQ(Status().reason, "FilesystemReadOnly");
  ASSERT_EQ(Unstage(), absl::OkStatus());
  ASSERT_EQ(Stage(), absl::OkStatus());
  EXPECT_TRUE(Status().healthy);
}

}  // namespace
}  // namespace ashlar::node_agent
