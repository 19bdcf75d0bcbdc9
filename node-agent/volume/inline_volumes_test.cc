#include "node-agent/volume/inline_volumes.h"

#include <filesystem>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/base/testing/simulated_clock.h"
#include "lib/base/testing/temporary_directory.h"
#include "node-agent/testing/fake_backend.h"
#include "node-agent/testing/fake_kernel.h"
#include "node-agent/volume/journal.h"

namespace ashlar::node_agent {
namespace {

using absl::StatusCode;
using testing::HasSubstr;

constexpr char kId[] = "csi-0123456789abcdef";
constexpr char kTarget[] = "/kubelet/pods/1/mount";
constexpr char kStaging[] = "/state/inline/csi-0123456789abcdef";

// Each pod has GPU-a.
class OneGpu final : public PodDevices {
 public:
  absl::StatusOr<std::vector<PodDevice>> Find(const CallContext&, const PodId&) override {
    return std::vector<PodDevice>{{"nvidia.com/gpu", "GPU-a", "", "", ""}};
  }
};

// Drive a is behind GPU-a's switch, b at its root; c is far.
NearFacts Facts() {
  NearFacts facts;
  facts.gpus.emplace_back().set_uuid("GPU-a");
  for (const auto& [drive, level] :
       {std::pair{"a", "Switch"}, std::pair{"b", "Root"}, std::pair{"c", "System"}}) {
    Drive known;
    known.id = drive;
    facts.drives.push_back(known);
    v1alpha1::GpuDrivePath& path = facts.paths.emplace_back();
    path.set_gpu("GPU-a");
    path.set_drive(drive);
    path.set_level(level);
  }
  return facts;
}

class InlineVolumesTest : public testing::Test {
 protected:
  explicit InlineVolumesTest(std::map<std::string, int64_t> drives = {})
      : backend_(drives.empty()
                     ? std::make_shared<FakeBackend>(temporary_.path(), 500 * kMiB)
                     : std::make_shared<FakeBackend>(temporary_.path(), std::move(drives))) {}
  void SetUp() override {
    std::filesystem::create_directory(temporary_.path() + "/journal");
    pools_.inline_volume_max_bytes = 100 * kMiB;
    Restart("boot-1");
  }
  void Restart(const std::string& boot_id) {
    inline_ = nullptr;
    volumes_ = std::make_unique<VolumeManager>(
        VolumeEnvironment{pools_, journal_, commands_, kernel_->mounts(), kernel_->loops(), clock_,
                          attributes_},
        PathPolicy({"/kubelet", "/state/inline"}), boot_id);
    ASSERT_EQ(volumes_->Recover({}), absl::OkStatus());
    inline_ = std::make_unique<InlineVolumes>(*volumes_, pools_, near_, "/state/inline", clock_,
                                              [this] { ++changes_; });
  }
  // Mounts and loop devices are gone, and the records are of another boot.
  void Reboot(const std::string& boot_id) {
    volumes_ = nullptr;
    kernel_ = std::make_unique<FakeKernel>();
    Restart(boot_id);
  }
  InlineVolumeArgs Args(int64_t size_bytes = 20 * kMiB) const {
    InlineVolumeArgs args;
    args.id = kId;
    args.target_path = kTarget;
    args.pool = "p";
    args.size_bytes = size_bytes;
    return args;
  }
  absl::Status Publish() { return inline_->Publish({}, Args()); }
  absl::Status Unpublish() { return inline_->Unpublish({}, kId, kTarget); }
  bool MountedAt(const std::string& target) { return kernel_->mounts().Find(target).ok(); }
  void ExpectNothing() {
    EXPECT_TRUE(volumes_->List().empty());
    EXPECT_TRUE(backend_->List()->empty()) << "bytes were not given back";
    EXPECT_TRUE(kernel_->loops().List()->empty());
    EXPECT_TRUE(kernel_->mounts().List()->empty());
    EXPECT_TRUE(journal_.Load()->empty());
  }

  TemporaryDirectory temporary_;
  std::unique_ptr<FakeKernel> kernel_ = std::make_unique<FakeKernel>();
  std::shared_ptr<FakeBackend> backend_;
  FakePools pools_{backend_};
  FileJournal journal_{temporary_.path() + "/journal"};
  sys::PosixCommandRunner commands_;
  SimulatedClock clock_;
  AttributeTable attributes_{temporary_.path() + "/journal"};
  OneGpu pods_;
  NearDrives near_{pods_, pods_, Facts};
  std::unique_ptr<VolumeManager> volumes_;
  std::unique_ptr<InlineVolumes> inline_;
  int changes_ = 0;
};

TEST_F(InlineVolumesTest, OneCallMakesItAndOneTakesItAwayAndBothCanBeRepeated) {
  for (int i = 0; i < 2; ++i) ASSERT_EQ(Publish(), absl::OkStatus());
  EXPECT_TRUE(MountedAt(kTarget));
  ASSERT_EQ(volumes_->List().size(), 1u);
  EXPECT_EQ(volumes_->List()[0].facts.kind, VolumeKind::kInline);
  EXPECT_EQ(volumes_->List()[0].facts.fs_type, "ext4") << "what the pool makes first";
  EXPECT_EQ(backend_->Find(kId)->facts.kind, VolumeKind::kInline) << "the medium says what it is";
  for (int i = 0; i < 2; ++i) ASSERT_EQ(Unpublish(), absl::OkStatus());
  ExpectNothing();
}

TEST_F(InlineVolumesTest, APoolThatDoesNotAllowThemRefusesAndNamesTheField) {
  pools_.inline_volume_max_bytes = 0;
  absl::Status refused = Publish();
  EXPECT_EQ(refused.code(), StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(refused.message()), HasSubstr("spec.inlineVolumes.maxSize"));
  pools_.inline_volume_max_bytes = 20 * kMiB;
  refused = inline_->Publish({}, Args(20 * kMiB + 1));
  EXPECT_EQ(refused.code(), StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(refused.message()), HasSubstr("at most 20971520"));
  EXPECT_THAT(std::string(refused.message()), HasSubstr("spec.inlineVolumes.maxSize"));
  InlineVolumeArgs elsewhere = Args();
  elsewhere.pool = "atlantis";
  EXPECT_EQ(inline_->Publish({}, elsewhere).code(), StatusCode::kNotFound);
  ExpectNothing();
  ASSERT_EQ(Publish(), absl::OkStatus());
  pools_.inline_volume_max_bytes = 0;
  EXPECT_EQ(Publish(), absl::OkStatus()) << "what exists is not asked for permission again";
}

TEST_F(InlineVolumesTest, ACallThatFailsAnywhereTakesAwayWhatItHasMade) {
  for (const char* step : {"Attach", "MountDevice", "Bind"}) {
    SCOPED_TRACE(step);
    kernel_->failures().FailNext(step, absl::InternalError("as the test has it"));
    EXPECT_EQ(Publish().code(), StatusCode::kInternal);
    ExpectNothing();
  }
  for (const char* step : {"Create", "Prepare"}) {
    SCOPED_TRACE(step);
    backend_->failures().FailNext(step, absl::InternalError("as the test has it"));
    EXPECT_EQ(Publish().code(), StatusCode::kInternal);
    ExpectNothing();
  }
  EXPECT_EQ(inline_->Publish({}, Args(600 * kMiB)).code(), StatusCode::kFailedPrecondition);
  pools_.inline_volume_max_bytes = 1000 * kMiB;
  EXPECT_EQ(inline_->Publish({}, Args(600 * kMiB)).code(), StatusCode::kResourceExhausted);
  ExpectNothing();
}

TEST_F(InlineVolumesTest, WhatCouldNotBeTakenAwayAtOnceIsTriedAgain) {
  kernel_->failures().FailNext("Bind", absl::InternalError("as the test has it"));
  backend_->failures().FailNext("Remove", absl::UnavailableError("as the test has it"));
  EXPECT_EQ(Publish().code(), StatusCode::kInternal);
  EXPECT_EQ(volumes_->List().size(), 1u);
  inline_->RemoveForgotten({});
  ExpectNothing();
  EXPECT_EQ(changes_, 1);
}

TEST_F(InlineVolumesTest, TheIdsOfOtherVolumesAreNotTouched) {
  ASSERT_TRUE(
      volumes_->Ensure({}, {kId, "p", 20 * kMiB, VolumeMode::kFilesystem, "ext4", ""}).ok());
  EXPECT_EQ(Publish().code(), StatusCode::kAlreadyExists);
  EXPECT_EQ(Unpublish(), absl::OkStatus());
  clock_.Advance(10 * kInlineVolumePatience);
  inline_->RemoveForgotten({});
  EXPECT_EQ(volumes_->List().size(), 1u);
  ASSERT_EQ(volumes_->Remove({}, kId), absl::OkStatus());
  ASSERT_EQ(Publish(), absl::OkStatus());
  EXPECT_EQ(volumes_->Ensure({}, {kId, "p", 20 * kMiB, VolumeMode::kFilesystem, "ext4", ""})
                .status()
                .code(),
            StatusCode::kAlreadyExists);
  EXPECT_EQ(volumes_->Remove({}, kId), absl::OkStatus()) << "who removes volumes knows no such one";
  EXPECT_TRUE(MountedAt(kTarget));
}

TEST_F(InlineVolumesTest, ItHasOneTargetPath) {
  ASSERT_EQ(Publish(), absl::OkStatus());
  InlineVolumeArgs second = Args();
  second.target_path = "/kubelet/pods/2/mount";
  EXPECT_EQ(inline_->Publish({}, second).code(), StatusCode::kFailedPrecondition);
  EXPECT_EQ(inline_->Unpublish({}, kId, second.target_path), absl::OkStatus());
  EXPECT_TRUE(MountedAt(kTarget)) << "the pod that has it keeps it";
  second = Args(40 * kMiB);
  EXPECT_EQ(inline_->Publish({}, second).code(), StatusCode::kAlreadyExists);
  EXPECT_TRUE(MountedAt(kTarget));
}

TEST_F(InlineVolumesTest, AnAgentThatRestartsDisturbsNoPodAndStillKnowsThatItGoesWithThePod) {
  ASSERT_EQ(Publish(), absl::OkStatus());
  Restart("boot-1");
  EXPECT_TRUE(MountedAt(kTarget));
  clock_.Advance(10 * kInlineVolumePatience);
  inline_->RemoveForgotten({});
  EXPECT_TRUE(MountedAt(kTarget));
  ASSERT_EQ(Unpublish(), absl::OkStatus());
  ExpectNothing();
}

TEST_F(InlineVolumesTest, WhatNoPodEverSawIsRemovedByARestart) {
  ASSERT_TRUE(volumes_
                  ->Ensure({}, {kId, "p", 20 * kMiB, VolumeMode::kFilesystem, "ext4", "",
                                VolumeKind::kInline})
                  .ok());
  Restart("boot-1");
  ExpectNothing();
  ASSERT_TRUE(volumes_
                  ->Ensure({}, {kId, "p", 20 * kMiB, VolumeMode::kFilesystem, "ext4", "",
                                VolumeKind::kInline})
                  .ok());
  ASSERT_EQ(volumes_->Stage({}, {kId, kStaging, VolumeMode::kFilesystem, "ext4", {}}),
            absl::OkStatus());
  Restart("boot-1");
  ExpectNothing();
}

TEST_F(InlineVolumesTest, AfterARebootItWaitsForItsPodAndNotForEver) {
  ASSERT_EQ(Publish(), absl::OkStatus());
  Reboot("boot-2");
  Restart("boot-2");  // a second start does not cut the waiting short
  inline_->RemoveForgotten({});
  clock_.Advance(kInlineVolumePatience - absl::Seconds(1));
  inline_->RemoveForgotten({});
  ASSERT_EQ(volumes_->List().size(), 1u);
  ASSERT_EQ(Publish(), absl::OkStatus());
  clock_.Advance(2 * kInlineVolumePatience);
  inline_->RemoveForgotten({});
  EXPECT_TRUE(MountedAt(kTarget));

  Reboot("boot-3");
  inline_->RemoveForgotten({});
  clock_.Advance(kInlineVolumePatience);
  inline_->RemoveForgotten({});
  ExpectNothing();
}

TEST_F(InlineVolumesTest, AfterARebootAFailedCallKeepsWhatThePodHasWritten) {
  ASSERT_EQ(Publish(), absl::OkStatus());
  Reboot("boot-2");
  kernel_->failures().FailNext("MountDevice", absl::InternalError("as the test has it"));
  EXPECT_EQ(Publish().code(), StatusCode::kInternal);
  EXPECT_EQ(volumes_->List().size(), 1u);
  ASSERT_EQ(Publish(), absl::OkStatus());
}

TEST_F(InlineVolumesTest, AfterARebootThePodMayGoWithoutHavingComeBack) {
  ASSERT_EQ(Publish(), absl::OkStatus());
  Reboot("boot-2");
  ASSERT_EQ(Unpublish(), absl::OkStatus());
  ExpectNothing();
}

TEST_F(InlineVolumesTest, OtherVolumesAreUnpublishedAndNoMore) {
  ASSERT_TRUE(
      volumes_->Ensure({}, {"v", "p", 20 * kMiB, VolumeMode::kFilesystem, "ext4", ""}).ok());
  ASSERT_EQ(volumes_->Stage({}, {"v", "/kubelet/staging", VolumeMode::kFilesystem, "ext4", {}}),
            absl::OkStatus());
  PublishArgs publish;
  publish.id = "v";
  publish.staging_path = "/kubelet/staging";
  publish.target_path = kTarget;
  ASSERT_EQ(volumes_->Publish({}, publish), absl::OkStatus());
  ASSERT_EQ(inline_->Unpublish({}, "v", kTarget), absl::OkStatus());
  EXPECT_FALSE(MountedAt(kTarget));
  EXPECT_TRUE(MountedAt("/kubelet/staging"));
}

class NearVolumesTest : public InlineVolumesTest {
 protected:
  NearVolumesTest() : InlineVolumesTest({{"a", 50 * kMiB}, {"b", 50 * kMiB}, {"c", 100 * kMiB}}) {}
  absl::Status PublishNear(const std::string& id, const std::string& level, bool required) {
    InlineVolumeArgs args = Args(40 * kMiB);
    args.id = id;
    args.target_path = "/kubelet/pods/" + id;
    args.near = NearArgs{{"ml", "trainer", "uid-1"}, level, required};
    return inline_->Publish({}, args);
  }
  // Where it lies and what is told of that.
  std::string Place(const std::string& id) {
    const auto volume = volumes_->Find(id);
    if (!volume) return "nowhere";
    const std::string gpus = volume->locality.gpus.empty() ? "" : volume->locality.gpus.front();
    return volume->drive + " " + volume->locality.level + " " + gpus;
  }
};

TEST_F(NearVolumesTest, EachLevelIsReachedInTurnAsNearerDrivesFillUpAndIsToldForGood) {
  for (const char* id : {"v1", "v2", "v3"})
    ASSERT_EQ(PublishNear(id, "Switch", false), absl::OkStatus());
  for (const bool restarted : {false, true}) {
    SCOPED_TRACE(restarted);
    if (restarted) Restart("boot-1");
    volumes_->LookForProblems();  // of which this backend tells none
    EXPECT_EQ(Place("v1"), "a Switch GPU-a");
    EXPECT_EQ(Place("v2"), "b Root GPU-a");
    EXPECT_EQ(Place("v3"), "c System GPU-a");
  }
  // What exists stays where it is, though it would go elsewhere now.
  ASSERT_EQ(inline_->Unpublish({}, "v1", "/kubelet/pods/v1"), absl::OkStatus());
  ASSERT_EQ(PublishNear("v2", "Switch", true), absl::OkStatus());
  EXPECT_EQ(Place("v2"), "b Root GPU-a");
}

TEST_F(NearVolumesTest, WhatIsRequiredIsHadOrRefusedAndNothingIsLeft) {
  ASSERT_EQ(PublishNear("v1", "Switch", true), absl::OkStatus());
  const absl::Status refused = PublishNear("v2", "Switch", true);
  EXPECT_EQ(refused.code(), StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(refused.message()),
              HasSubstr("the nearest drive with room for 41943040 bytes is b at level Root; of "
                        "nearer ones a (Switch) has room for 10485760"));
  EXPECT_EQ(Place("v2"), "nowhere");
  EXPECT_EQ(backend_->List()->size(), 1u);
  ASSERT_EQ(PublishNear("v2", "Root", true), absl::OkStatus());
  EXPECT_EQ(Place("v2"), "b Root GPU-a");
}

TEST_F(NearVolumesTest, ADriveThatRefusesAtTheLastMomentIsPassedOver) {
  backend_->failures().FailNext("Create", absl::ResourceExhaustedError("somebody was faster"));
  ASSERT_EQ(PublishNear("v1", "Root", true), absl::OkStatus());
  EXPECT_EQ(Place("v1"), "b Root GPU-a");
}

}  // namespace
}  // namespace ashlar::node_agent
