#include "controller/snapshot/snapshot_plan.h"

#include "controller/volume/volume_plan.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/api/conditions.h"

namespace ashlar::controller {
namespace {

using testing::HasSubstr;

SourceVolume Carved(const std::string& name, const std::string& node) {
  SourceVolume source{.name = name, .exists = true};
  source.volume.mutable_metadata()->set_name(name);
  source.volume.mutable_spec()->set_node_name(node);
  source.volume.mutable_status()->set_size(100);
  return source;
}

SnapshotFacts New() {
  SnapshotFacts facts;
  facts.snapshot.mutable_spec()->set_volume("v");
  facts.source = Carved("v", "n1");
  facts.agent.state = AgentState::kHeard;
  return facts;
}

SnapshotFacts Deleted() {
  SnapshotFacts facts = New();
  facts.has_finalizer = true;
  facts.snapshot.mutable_spec()->set_node_name("n1");
  facts.snapshot.mutable_metadata()->mutable_deletion_timestamp()->set_seconds(1);
  return facts;
}

TEST(DecideSnapshot, TakesWhatCanBeTakenAndSaysWhyElse) {
  SnapshotFacts facts = New();
  EXPECT_EQ(DecideSnapshot(facts).step, SnapshotStep::kTake);
  facts.source.exists = false;
  EXPECT_EQ(DecideSnapshot(facts).reason, kVolumeNotFound);
  facts.reported = &agent::v1::VolumeState::default_instance();
  EXPECT_EQ(DecideSnapshot(facts).step, SnapshotStep::kTake) << "the agent has it already";
  facts = New();
  facts.source.volume.mutable_status()->clear_size();
  EXPECT_EQ(DecideSnapshot(facts).reason, kVolumeNotReady);
  facts = New();
  facts.source.volume.mutable_metadata()->mutable_deletion_timestamp()->set_seconds(1);
  EXPECT_EQ(DecideSnapshot(facts).reason, kVolumeNotReady);
  facts = New();
  facts.agent.state = AgentState::kSilent;
  EXPECT_EQ(DecideSnapshot(facts).reason, kAgentUnavailable);
  facts.agent.settling = true;
  EXPECT_EQ(DecideSnapshot(facts).step, SnapshotStep::kAwaitAgent);
  facts = New();
  facts.snapshot.mutable_spec()->set_group("g");
  EXPECT_EQ(DecideSnapshot(facts).step, SnapshotStep::kAwaitGroup);
  facts.snapshot.mutable_status()->set_size(100);
  EXPECT_EQ(DecideSnapshot(facts).step, SnapshotStep::kObserve);
}

TEST(DecideSnapshot, DeletionGoesThroughTheAgentUnlessThereIsNothingOrNobodyLeft) {
  EXPECT_EQ(DecideSnapshot(Deleted()).step, SnapshotStep::kRemove);
  SnapshotFacts facts = Deleted();
  facts.has_finalizer = false;
  EXPECT_EQ(DecideSnapshot(facts).step, SnapshotStep::kForget);
  facts = Deleted();
  facts.snapshot.mutable_spec()->clear_node_name();
  EXPECT_EQ(DecideSnapshot(facts).step, SnapshotStep::kDropFinalizer);
  facts = Deleted();
  facts.agent.state = AgentState::kNone;
  EXPECT_EQ(DecideSnapshot(facts).step, SnapshotStep::kAwaitAgent);
  facts.agent.gone_for_good = true;
  EXPECT_EQ(DecideSnapshot(facts).step, SnapshotStep::kAbandon);
}

TEST(DecideSources, VolumesOfSeveralNodesAreRefusedWithTheirNodes) {
  std::string node;
  EXPECT_EQ(DecideSources({Carved("a", "n1"), Carved("b", "n1")}, node).step, SnapshotStep::kTake);
  EXPECT_EQ(node, "n1");
  const SnapshotDecision refused = DecideSources({Carved("a", "n1"), Carved("b", "n2")}, node);
  EXPECT_EQ(refused.reason, kOnDifferentNodes);
  EXPECT_THAT(refused.message, HasSubstr("a on node n1, b on node n2"));
}

TEST(SnapshotStatus, KeepsTheTimeAtWhichItWasTaken) {
  v1alpha1::Snapshot snapshot;
  agent::v1::VolumeState state;
  state.set_size_bytes(100);
  SetTaken(snapshot, state, absl::FromUnixSeconds(5));
  SetTaken(snapshot, state, absl::FromUnixSeconds(9));
  EXPECT_EQ(snapshot.status().creation_time().seconds(), 5);
  EXPECT_TRUE(api::IsConditionTrue(snapshot.status().conditions(), "Ready"));
}

VolumeFacts Copy() {
  VolumeFacts facts;
  facts.pool_exists = true;
  facts.agent = AgentState::kHeard;
  v1alpha1::VolumeSpec& spec = *facts.volume.mutable_spec();
  spec.set_pool("p");
  spec.set_size(int64_t{20} << 20);
  spec.set_mode("Filesystem");
  spec.mutable_source()->set_kind("Snapshot");
  spec.mutable_source()->set_name("s");
  facts.source = {true, true, false, true, "n1", "p", "Filesystem", "ext4", int64_t{20} << 20};
  return facts;
}

TEST(DecideVolume, ACopyIsPlacedWhereItsSourceLiesOrRefusedWithWhatDiffers) {
  EXPECT_EQ(DecideVolume(Copy()).step, VolumeStep::kPlace);
  EXPECT_EQ(PlacementRequest(Copy(), {}).node, "n1");
  const auto refused = [](auto change) {
    VolumeFacts facts = Copy();
    change(facts);
    const VolumeDecision decision = DecideVolume(facts);
    EXPECT_EQ(decision.step, VolumeStep::kRefuse);
    return decision;
  };
  EXPECT_EQ(refused([](auto& f) { f.source.exists = false; }).reason, kSourceNotFound);
  EXPECT_EQ(refused([](auto& f) { f.source.ready = false; }).reason, kSourceNotReady);
  EXPECT_EQ(refused([](auto& f) { f.source.deleting = true; }).reason, kSourceNotReady);
  EXPECT_THAT(refused([](auto& f) { f.source.pool = "q"; }).message, HasSubstr("spec.pool"));
  EXPECT_THAT(refused([](auto& f) { f.source.mode = "Block"; }).message, HasSubstr("spec.mode"));
  EXPECT_THAT(refused([](auto& f) { f.volume.mutable_spec()->set_fs_type("xfs"); }).message,
              HasSubstr("spec.fsType"));
  EXPECT_THAT(refused([](auto& f) { f.source.size_bytes *= 2; }).message, HasSubstr("spec.size"));
  EXPECT_THAT(refused([](auto& f) { f.volume.mutable_spec()->set_node_name("n2"); }).message,
              HasSubstr("spec.nodeName"));
}

}  // namespace
}  // namespace ashlar::controller
