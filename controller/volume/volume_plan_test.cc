#include "controller/volume/volume_plan.h"

#include <functional>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/api/conditions.h"

namespace ashlar::controller {
namespace {

using ::testing::HasSubstr;

constexpr int64_t kGi = int64_t{1} << 30;
const absl::Time kNow = absl::FromUnixSeconds(1700000000);

struct Scene {
  agent::v1::VolumeState reported;
  agent::v1::PoolState pool;
  VolumeFacts facts;
};

// A volume of 1 GiB with a finalizer, of a pool that is there, without a node.
void NewVolume(Scene& s) {
  s.facts.volume.mutable_metadata()->set_name("v1");
  s.facts.volume.mutable_metadata()->set_generation(3);
  s.facts.volume.mutable_spec()->set_pool("fast");
  s.facts.volume.mutable_spec()->set_size(kGi);
  s.facts.has_finalizer = true;
  s.facts.pool_exists = true;
}
void Placed(Scene& s) {
  NewVolume(s);
  s.facts.volume.mutable_spec()->set_node_name("n1");
  s.facts.agent = AgentState::kHeard;
  s.pool.set_ready(true);
  s.facts.reported_pool = &s.pool;
}
void Carved(Scene& s) {
  Placed(s);
  s.facts.volume.mutable_status()->set_size(kGi);
  s.reported.set_volume_id("v1");
  s.reported.set_size_bytes(kGi);
  s.reported.set_healthy(true);
  s.facts.reported = &s.reported;
}
void Deleting(Scene& s) { s.facts.volume.mutable_metadata()->mutable_deletion_timestamp(); }
void Silent(Scene& s) {
  s.facts.agent = AgentState::kSilent;
  s.facts.settling = false;
}
void Settling(Scene& s) {
  s.facts.agent = AgentState::kNone;
  s.facts.settling = true;
}

using Change = std::function<void(Scene&)>;
struct Case {
  const char* name;
  std::vector<Change> changes;
  VolumeStep step;
  const char* reason = "";
};

TEST(DecideVolume, NamesTheStepForEverySituation) {
  auto grown = [](Scene& s) { s.facts.volume.mutable_spec()->set_size(2 * kGi); };
  auto unreported = [](Scene& s) { s.facts.reported = nullptr; };
  auto promised = [](Scene& s) { s.facts.carving_unreported = true; };
  auto gone = [](Scene& s) { s.facts.node_gone_for_good = true; };
  auto no_finalizer = [](Scene& s) { s.facts.has_finalizer = false; };
  const std::vector<Case> cases = {
      {"new", {NewVolume}, VolumeStep::kPlace},
      {"other limits than the agent has",
       {Carved,
        [](Scene& s) { s.facts.volume.mutable_spec()->mutable_limits()->set_read_iops(1); }},
       VolumeStep::kModify},
      {"other limits and a growth that may never come",
       {Carved, grown,
        [](Scene& s) { s.facts.volume.mutable_spec()->mutable_limits()->set_read_iops(1); }},
       VolumeStep::kModify},
      {"other limits and an agent that is silent",
       {Carved, Silent,
        [](Scene& s) { s.facts.volume.mutable_spec()->mutable_limits()->set_read_iops(1); }},
       VolumeStep::kObserve},
      {"the agent has limits that nobody wants",
       {Carved, [](Scene& s) { s.reported.mutable_attributes()->set_write_iops(5); }},
       VolumeStep::kModify},
      {"no size",
       {NewVolume, [](Scene& s) { s.facts.volume.mutable_spec()->set_size(0); }},
       VolumeStep::kRefuse,
       kInvalidVolume},
      {"negative size",
       {NewVolume, [](Scene& s) { s.facts.volume.mutable_spec()->set_size(-1); }},
       VolumeStep::kRefuse,
       kInvalidVolume},
      {"no pool",
       {NewVolume, [](Scene& s) { s.facts.pool_exists = false; }},
       VolumeStep::kRefuse,
       kPoolNotFound},
      {"pool goes",
       {NewVolume, [](Scene& s) { s.facts.pool_deleting = true; }},
       VolumeStep::kRefuse,
       kPoolNotReady},
      {"placed", {Placed}, VolumeStep::kCarve},
      {"placed, agent silent", {Placed, Silent}, VolumeStep::kRefuse, kAgentUnavailable},
      {"placed, too early to tell", {Placed, Settling}, VolumeStep::kAwaitAgent},
      {"carved", {Carved}, VolumeStep::kObserve},
      {"carved, agent silent", {Carved, Silent}, VolumeStep::kObserve},
      {"carved, pool goes",
       {Carved, [](Scene& s) { s.facts.pool_deleting = true; }},
       VolumeStep::kObserve},
      {"carved, pool is gone",
       {Carved, [](Scene& s) { s.facts.pool_exists = false; }},
       VolumeStep::kObserve},
      {"carved and lost", {Carved, unreported}, VolumeStep::kObserve},
      {"to grow", {Carved, grown}, VolumeStep::kGrow},
      {"to grow, not reported yet", {Carved, grown, unreported, promised}, VolumeStep::kGrow},
      {"to grow, but lost", {Carved, grown, unreported}, VolumeStep::kObserve},
      {"to grow, agent silent", {Carved, grown, Silent}, VolumeStep::kRefuse, kAgentUnavailable},
      {"to grow, too early to tell", {Carved, grown, Settling}, VolumeStep::kObserve},
      {"grown, the report is older",
       {Carved, grown, [](Scene& s) { s.facts.volume.mutable_status()->set_size(2 * kGi); }},
       VolumeStep::kObserve},
      {"grown, the status is older",
       {Carved, grown, [](Scene& s) { s.reported.set_size_bytes(2 * kGi); }},
       VolumeStep::kObserve},
      {"deleted before it was placed", {NewVolume, Deleting}, VolumeStep::kDropFinalizer},
      {"deleted, held by others", {Carved, Deleting, no_finalizer}, VolumeStep::kForget},
      {"deleted while placed", {Placed, Deleting}, VolumeStep::kRemove},
      {"deleted", {Carved, Deleting}, VolumeStep::kRemove},
      {"deleted, the agent does not know it", {Carved, Deleting, unreported}, VolumeStep::kRemove},
      {"deleted, agent silent",
       {Carved, Deleting, Silent},
       VolumeStep::kAwaitAgent,
       kAgentUnavailable},
      {"deleted, node gone", {Carved, Deleting, Silent, gone}, VolumeStep::kAbandon},
      {"deleted, node gone but its agent speaks", {Carved, Deleting, gone}, VolumeStep::kRemove},
      {"deleted, without pool",
       {Carved, Deleting, [](Scene& s) { s.facts.pool_exists = false; }},
       VolumeStep::kRemove},
  };
  for (const Case& c : cases) {
    Scene scene;
    for (const Change& change : c.changes) change(scene);
    const VolumeDecision decision = DecideVolume(scene.facts);
    EXPECT_EQ(static_cast<int>(decision.step), static_cast<int>(c.step)) << c.name;
    EXPECT_EQ(decision.reason, c.reason) << c.name;
  }
}

TEST(CarveRequest, TakesWhatIsThereAndLeavesAFilesystemThatNobodyNamedToTheAgent) {
  Scene scene;
  Placed(scene);
  agent::v1::EnsureVolumeRequest request = CarveRequest(scene.facts);
  EXPECT_EQ(request.volume_id(), "v1");
  EXPECT_EQ(request.size_bytes(), kGi);
  EXPECT_EQ(request.mode(), agent::v1::VOLUME_MODE_FILESYSTEM);
  EXPECT_EQ(request.fs_type(), "") << "the agent knows what the pool's backend makes";
  scene.facts.volume.mutable_spec()->set_mode("Block");
  EXPECT_EQ(CarveRequest(scene.facts).mode(), agent::v1::VOLUME_MODE_BLOCK);
  EXPECT_EQ(CarveRequest(scene.facts).fs_type(), "");
  // Carved before its answer arrived, then asked to be larger.
  scene.reported.set_size_bytes(kGi / 2);
  scene.facts.volume.mutable_spec()->clear_mode();
  scene.facts.source.fs_type = "xfs";
  EXPECT_EQ(CarveRequest(scene.facts).fs_type(), "xfs")
      << "a copy has the filesystem of its source";
  scene.reported.set_fs_type("btrfs");
  scene.facts.reported = &scene.reported;
  EXPECT_EQ(CarveRequest(scene.facts).size_bytes(), kGi / 2);
  EXPECT_EQ(CarveRequest(scene.facts).fs_type(), "btrfs");
  scene.facts.volume.mutable_spec()->set_fs_type("ext4");
  EXPECT_EQ(CarveRequest(scene.facts).fs_type(), "ext4");
}

const k8s::Condition& ConditionOf(const v1alpha1::Volume& volume, const char* type) {
  static const k8s::Condition kNone;
  const k8s::Condition* found = api::FindCondition(volume.status().conditions(), type);
  return found == nullptr ? kNone : *found;
}

TEST(VolumeStatus, OfACarvedVolumeIsWhatTheAgentSays) {
  Scene scene;
  Carved(scene);
  scene.reported.set_device_path("/pool/v1");
  scene.reported.set_drive("wwid-1");
  scene.reported.set_extents(7);
  scene.reported.set_staged(true);
  scene.reported.set_publications(2);
  SetCarved(scene.facts.volume, scene.reported, kNow);
  const v1alpha1::Volume& volume = scene.facts.volume;
  EXPECT_EQ(volume.status().size(), kGi);
  EXPECT_EQ(volume.status().device().path(), "/pool/v1");
  EXPECT_EQ(volume.status().device().drive(), "wwid-1");
  EXPECT_EQ(volume.status().device().extents(), 7);
  EXPECT_EQ(ConditionOf(volume, "Carved").status(), "True");
  EXPECT_EQ(ConditionOf(volume, "Carved").message(), "1Gi on node n1");
  EXPECT_EQ(ConditionOf(volume, "Carved").observed_generation(), 3);
  EXPECT_EQ(ConditionOf(volume, "Published").status(), "True");
  EXPECT_EQ(ConditionOf(volume, "Published").message(), "at 2 paths");
  EXPECT_EQ(volume.status().observed_generation(), 3);
}

TEST(VolumeStatus, KeepsItsTransitionTimesWhileNothingTurns) {
  Scene scene;
  Carved(scene);
  SetCarved(scene.facts.volume, scene.reported, kNow);
  const std::string before = scene.facts.volume.status().SerializeAsString();
  SetObserved(scene.facts, kNow + absl::Hours(1));
  EXPECT_EQ(scene.facts.volume.status().SerializeAsString(), before);
}

TEST(VolumeStatus, SaysWhyTheAgentFindsAVolumeUnhealthy) {
  Scene scene;
  Carved(scene);
  for (const std::string reason : {"DriveMissing", ""}) {
    scene.reported.set_healthy(false);
    scene.reported.set_reason(reason);
    SetObserved(scene.facts, kNow);
    EXPECT_EQ(ConditionOf(scene.facts.volume, "Healthy").reason(),
              reason.empty() ? "Unhealthy" : reason);
  }
}

TEST(VolumeStatus, SaysWhatIsWrongWithAVolumeThatIsNotReported) {
  Scene scene;
  Carved(scene);
  scene.facts.reported = nullptr;
  scene.facts.carving_unreported = true;
  SetObserved(scene.facts, kNow);
  EXPECT_EQ(ConditionOf(scene.facts.volume, "Healthy").reason(), "");
  scene.facts.carving_unreported = false;
  SetObserved(scene.facts, kNow);
  EXPECT_EQ(ConditionOf(scene.facts.volume, "Healthy").reason(), "VolumeLost");
  scene.pool.set_ready(false);
  scene.pool.set_reason("NotMounted");
  SetObserved(scene.facts, kNow);
  EXPECT_EQ(ConditionOf(scene.facts.volume, "Healthy").reason(), kPoolNotReady);
  EXPECT_THAT(ConditionOf(scene.facts.volume, "Healthy").message(), HasSubstr("NotMounted"));
  Settling(scene);
  SetObserved(scene.facts, kNow);
  EXPECT_EQ(ConditionOf(scene.facts.volume, "Healthy").reason(), kPoolNotReady);
  Silent(scene);
  SetObserved(scene.facts, kNow);
  EXPECT_EQ(ConditionOf(scene.facts.volume, "Healthy").status(), "Unknown");
}

TEST(VolumeStatus, AReportThatIsOlderThanAGrowthDoesNotTakeItBack) {
  Scene scene;
  Carved(scene);
  scene.facts.volume.mutable_status()->set_size(2 * kGi);
  SetObserved(scene.facts, kNow);
  EXPECT_EQ(scene.facts.volume.status().size(), 2 * kGi);
}

TEST(VolumeStatus, ARefusedGrowthIsUndoneWhenTheSizeIsThere) {
  Scene scene;
  Carved(scene);
  scene.facts.volume.mutable_spec()->set_size(2 * kGi);
  SetRefused(scene.facts.volume, kNoCapacity, "cannot grow", kNow);
  SetObserved(scene.facts, kNow);
  EXPECT_EQ(ConditionOf(scene.facts.volume, "Carved").reason(), kNoCapacity);
  EXPECT_EQ(scene.facts.volume.status().size(), kGi);
  scene.reported.set_size_bytes(2 * kGi);
  SetObserved(scene.facts, kNow);
  EXPECT_EQ(ConditionOf(scene.facts.volume, "Carved").status(), "True");
}

TEST(VolumeStatus, ACorrectedFilesystemIsHealthyAndToldOnce) {
  Scene scene;
  Carved(scene);
  SetObserved(scene.facts, kNow);
  const v1alpha1::VolumeStatus before = scene.facts.volume.status();
  EXPECT_EQ(NewCorrection({}, before), "");
  scene.reported.set_message("e2fsck corrected it");
  SetObserved(scene.facts, kNow);
  const v1alpha1::VolumeStatus after = scene.facts.volume.status();
  EXPECT_EQ(ConditionOf(scene.facts.volume, "Healthy").status(), "True");
  EXPECT_EQ(ConditionOf(scene.facts.volume, "Healthy").message(), "e2fsck corrected it");
  EXPECT_EQ(NewCorrection(before, after), "e2fsck corrected it");
  EXPECT_EQ(NewCorrection(after, after), "");
  scene.reported.set_healthy(false);
  scene.reported.set_message("broken");
  SetObserved(scene.facts, kNow);
  EXPECT_EQ(ConditionOf(scene.facts.volume, "Healthy").message(), "broken");
  EXPECT_EQ(NewCorrection(before, scene.facts.volume.status()), "");
}

TEST(VolumeStatus, SaysWhichWayCufileTakesWhereThatIsAskedFor) {
  Scene s;
  Carved(s);
  const auto said = [&] {
    SetObserved(s.facts, kNow);
    const k8s::Condition* way =
        api::FindCondition(s.facts.volume.status().conditions(), "GPUDirect");
    return way == nullptr ? "" : absl::StrCat(way->status(), " ", way->reason());
  };
  EXPECT_EQ(said(), "");
  s.facts.volume.mutable_spec()->set_gpu_direct("Preferred");
  EXPECT_EQ(said(), "Unknown NotPublished");
  for (const auto& [mode, expected] :
       {std::pair{"GDS", "True GDS"}, std::pair{"Compatibility", "False Compatibility"},
        std::pair{"Unknown", "Unknown Unknown"}}) {
    s.reported.mutable_gpu_direct()->set_mode(mode);
    s.reported.mutable_gpu_direct()->set_message("why");
    EXPECT_EQ(said(), expected);
    EXPECT_EQ(api::FindCondition(s.facts.volume.status().conditions(), "GPUDirect")->message(),
              "why");
  }
}

TEST(ExplainFailure, SaysWhetherRepeatingHelps) {
  struct Row {
    absl::Status status;
    const char* reason;
    bool in_status;
    bool repeat;
  };
  for (const Row& row :
       std::vector<Row>{{absl::ResourceExhaustedError("x"), kNoCapacity, true, false},
                        {absl::InvalidArgumentError("x"), kInvalidVolume, true, false},
                        {absl::NotFoundError("x"), kPoolNotReady, true, true},
                        {absl::FailedPreconditionError("x"), kPoolNotReady, true, true},
                        {absl::UnavailableError("x"), kAgentUnavailable, true, true},
                        {absl::DeadlineExceededError("x"), kAgentUnavailable, true, true},
                        {absl::AbortedError("x"), kCarveFailed, false, true},
                        {absl::AlreadyExistsError("x"), kCarveFailed, true, true},
                        {absl::InternalError("x"), kCarveFailed, true, true}}) {
    const CarveFailure failure = ExplainFailure(row.status, "n1");
    EXPECT_EQ(failure.reason, row.reason) << row.status;
    EXPECT_EQ(failure.message, "node n1: x");
    EXPECT_EQ(failure.in_status, row.in_status) << row.status;
    EXPECT_EQ(failure.repeat, row.repeat) << row.status;
  }
}

}  // namespace
}  // namespace ashlar::controller
