#include "controller/pool/pool_plan.h"

#include <deque>
#include <functional>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/api/conditions.h"

namespace ashlar::controller {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

constexpr int64_t kGi = int64_t{1} << 30;
const absl::Time kNow = absl::FromUnixSeconds(1700000000);

class PoolPlanTest : public testing::Test {
 protected:
  PoolPlanTest() {
    facts_.pool.mutable_metadata()->set_name("fast");
    facts_.pool.mutable_metadata()->set_uid("uid-1");
    facts_.pool.mutable_metadata()->set_generation(2);
  }

  // A node where the pool is ready with 10 GiB, 4 of them allocated, and was ensured.
  PoolNodeFacts& Ready(const std::string& name) {
    agent::v1::PoolState& state = states_.emplace_back();
    state.set_name("fast");
    state.set_uid("uid-1");
    state.set_ready(true);
    state.set_capacity_bytes(10 * kGi);
    state.set_allocated_bytes(4 * kGi);
    state.set_allocatable_bytes(6 * kGi);
    state.set_largest_volume_bytes(6 * kGi);
    state.set_volumes(2);
    PoolNodeFacts node;
    node.node = name;
    node.selected = true;
    node.agent = AgentState::kHeard;
    node.reported = &state;
    node.ensured_generation = 2;
    facts_.nodes.push_back(node);
    return facts_.nodes.back();
  }
  agent::v1::PoolState& State(int i) { return states_[i]; }
  void Delete() { facts_.pool.mutable_metadata()->mutable_deletion_timestamp(); }

  const v1alpha1::PoolStatus& Status() {
    SetPoolStatus(facts_, kNow);
    return facts_.pool.status();
  }
  std::string Condition(const char* type) {
    const k8s::Condition* c = api::FindCondition(Status().conditions(), type);
    return c == nullptr ? "none" : c->status() + " " + c->reason() + ": " + c->message();
  }

  std::deque<agent::v1::PoolState> states_;
  PoolFacts facts_;
};

TEST_F(PoolPlanTest, EachNodeGetsItsStep) {
  struct Case {
    const char* name;
    std::function<void(PoolNodeFacts&, agent::v1::PoolState&)> change;
    PoolStep step;
    PoolStep step_when_deleted;
  };
  using F = PoolNodeFacts;
  using S = agent::v1::PoolState;
  for (const Case& c : std::vector<Case>{
           {"ready", [](F&, S&) {}, PoolStep::kNothing, PoolStep::kRemove},
           {"never asked", [](F&f, S&) { f.reported = nullptr; }, PoolStep::kEnsure,
            PoolStep::kNothing},
           {"asked for another generation", [](F&f, S&) { f.ensured_generation = 1; },
            PoolStep::kEnsure, PoolStep::kRemove},
           {"not ready", [](F&, S&s) { s.set_ready(false); }, PoolStep::kEnsure, PoolStep::kRemove},
           {"silent", [](F&f, S&) { f.agent = AgentState::kSilent; }, PoolStep::kNothing,
            PoolStep::kNothing},
           {"without agent", [](F&f, S&) { f.agent = AgentState::kNone; }, PoolStep::kNothing,
            PoolStep::kNothing},
           {"no longer selected", [](F&f, S&) { f.selected = false; }, PoolStep::kRemove,
            PoolStep::kRemove},
           {"never selected",
            [](F&f, S&) {
              f.selected = false;
              f.reported = nullptr;
            },
            PoolStep::kNothing, PoolStep::kNothing},
           {"made a moment ago, in no report yet",
            [](F&f, S&) {
              f.unreported = true;
              f.reported = nullptr;
            },
            PoolStep::kEnsure, PoolStep::kRemove},
           {"another pool of the name", [](F&, S&s) { s.set_uid("uid-0"); }, PoolStep::kEnsure,
            PoolStep::kNothing},
           {"another pool of the name, not selected",
            [](F&f, S&s) {
              f.selected = false;
              s.set_uid("uid-0");
            },
            PoolStep::kNothing, PoolStep::kNothing},
           {"observed only, new",
            [](F&f, S&) {
              f.observed_only = true;
              f.reported = nullptr;
            },
            PoolStep::kNothing, PoolStep::kNothing},
           {"observed only, there already", [](F&f, S&) { f.observed_only = true; },
            PoolStep::kNothing, PoolStep::kRemove},
       }) {
    facts_.nodes.clear();
    states_.clear();
    facts_.pool.mutable_metadata()->clear_deletion_timestamp();
    PoolNodeFacts& node = Ready("n1");
    c.change(node, State(0));
    EXPECT_EQ(DecidePoolOnNode(facts_, node), c.step) << c.name;
    Delete();
    EXPECT_EQ(DecidePoolOnNode(facts_, node), c.step_when_deleted) << c.name;
  }
}

TEST_F(PoolPlanTest, NothingIsDoneWithASelectorThatIsNotUnderstood) {
  PoolNodeFacts& node = Ready("n1");
  node.selected = false;
  facts_.selector_error = "spec.nodeSelector: unknown operator";
  EXPECT_EQ(DecidePoolOnNode(facts_, node), PoolStep::kNothing);
  EXPECT_THAT(Condition("Ready"), HasSubstr("False InvalidPool: spec.nodeSelector"));
}

TEST_F(PoolPlanTest, NumbersAreSumsAndCountWhatIsInFlight) {
  Ready("n1").in_flight_bytes = 2 * kGi;
  Ready("n2").in_flight_bytes = 7 * kGi;  // more than is left: never below zero
  const v1alpha1::PoolStatus& status = Status();
  EXPECT_EQ(status.capacity(), 20 * kGi);
  EXPECT_EQ(status.allocated(), 8 * kGi);
  EXPECT_EQ(status.in_flight(), 9 * kGi);
  EXPECT_EQ(status.allocatable(), 4 * kGi);
  EXPECT_EQ(status.largest_volume(), 4 * kGi);
  EXPECT_EQ(status.ready_nodes(), 2);
  EXPECT_EQ(status.nodes(0).volumes(), 2);
  EXPECT_EQ(status.observed_generation(), 2);
  EXPECT_EQ(Condition("Ready"), "True Ready: 2 of 2 nodes are ready");
  EXPECT_EQ(Condition("DevicesHealthy"), "True Healthy: ");
}

TEST_F(PoolPlanTest, TheLargestVolumeIsThatOfOneDriveWithoutWhatIsInFlight) {
  Ready("n1");
  State(0).set_largest_volume_bytes(4 * kGi);
  EXPECT_EQ(Status().allocatable(), 6 * kGi);
  EXPECT_EQ(Status().largest_volume(), 4 * kGi);
  facts_.nodes[0].in_flight_bytes = 3 * kGi;
  EXPECT_EQ(Status().allocatable(), 3 * kGi);
  EXPECT_EQ(Status().largest_volume(), kGi) << "it may lie on that drive";
  EXPECT_EQ(Status().nodes(0).largest_volume(), kGi);
  facts_.nodes[0].in_flight_bytes = 5 * kGi;
  EXPECT_EQ(Status().largest_volume(), 0);
}

TEST_F(PoolPlanTest, AWholeDriveThatIsTakenDoesNotHideAnother) {
  facts_.pool.mutable_spec()->set_backend("WholeDrive");
  Ready("n1").in_flight_bytes = 3 * kGi;
  State(0).set_largest_volume_bytes(3 * kGi);
  EXPECT_EQ(Status().largest_volume(), 3 * kGi);
  facts_.nodes[0].in_flight_bytes = 5 * kGi;
  EXPECT_EQ(Status().largest_volume(), kGi) << "at most what is allocatable";
}

TEST_F(PoolPlanTest, NodesThatAreNotReadyAreNamedWithTheirReason) {
  Ready("n1");
  Ready("n2");
  State(1).set_ready(false);
  State(1).set_reason("DriveBusy");
  State(1).set_message("sdb has a filesystem");
  Ready("n3").agent = AgentState::kSilent;
  Ready("n4").agent = AgentState::kNone;
  PoolNodeFacts& refused = Ready("n5");
  refused.reported = nullptr;
  refused.call_error = "no such directory";
  Ready("n6");
  State(5).set_uid("uid-0");
  const std::string ready = Condition("Ready");
  EXPECT_THAT(ready, HasSubstr("False NodesNotReady: 1 of 6 nodes are ready; "));
  EXPECT_THAT(ready, HasSubstr("n2: DriveBusy: sdb has a filesystem"));
  EXPECT_THAT(ready, HasSubstr("n3: AgentSilent"));
  EXPECT_THAT(ready, HasSubstr("n4: NoAgent"));
  EXPECT_THAT(ready, HasSubstr("n5: AgentRefused: no such directory"));
  EXPECT_THAT(ready, HasSubstr("n6: ForeignPool"));
  EXPECT_THAT(Condition("DevicesHealthy"), HasSubstr("False DevicesUnhealthy: n2: DriveBusy"));
  EXPECT_EQ(Status().allocatable(), 6 * kGi);
  EXPECT_EQ(Status().capacity(), 40 * kGi);  // what is known of the silent ones still counts
}

TEST_F(PoolPlanTest, APoolWithoutNodesIsNotReady) {
  EXPECT_THAT(Condition("Ready"), HasSubstr("False NoNodes"));
  EXPECT_EQ(Condition("DevicesHealthy"), "Unknown NotReported: no agent reports the pool");
}

TEST_F(PoolPlanTest, UnhealthyVolumesShow) {
  Ready("n1").unhealthy_volumes = 2;
  EXPECT_EQ(Condition("DevicesHealthy"), "False DevicesUnhealthy: n1: 2 volumes are not healthy");
}

TEST_F(PoolPlanTest, WhatIsNotAsItShouldBeOnAReadyNodeShows) {
  Ready("n1");
  State(0).set_reason("ThinPoolNearlyFull");
  State(0).set_message("data are 92 % full");
  EXPECT_THAT(Condition("Ready"), HasSubstr("True"));
  EXPECT_EQ(Condition("DevicesHealthy"),
            "False DevicesUnhealthy: n1: ThinPoolNearlyFull: data are 92 % full");
  EXPECT_EQ(Status().nodes(0).reason(), "ThinPoolNearlyFull");
}

TEST_F(PoolPlanTest, DrivesThatLeaveAreNotUnhealthy) {
  Ready("n1");
  State(0).set_reason("Draining");
  State(0).set_message("86 MiB are still to be moved off serial-1");
  EXPECT_THAT(Condition("DevicesHealthy"), HasSubstr("True"));
  EXPECT_EQ(Status().nodes(0).reason(), "Draining");
  EXPECT_THAT(Status().nodes(0).message(), HasSubstr("86 MiB"));
  facts_.nodes[0].unhealthy_volumes = 2;
  EXPECT_THAT(Condition("DevicesHealthy"), HasSubstr("2 volumes are not healthy"));
}

TEST_F(PoolPlanTest, WhatWasTrueStaysUntilAnAgentHasBeenQuietForLongEnough) {
  Ready("n1");
  EXPECT_THAT(Condition("Ready"), HasSubstr("True"));
  facts_.nodes[0].agent = AgentState::kSilent;
  facts_.nodes[0].settling = true;
  facts_.nodes[0].reported = nullptr;
  EXPECT_THAT(Condition("Ready"), HasSubstr("True"));
  EXPECT_THAT(Condition("DevicesHealthy"), HasSubstr("True"));
  EXPECT_EQ(Status().allocatable(), 6 * kGi);
  facts_.nodes[0].settling = false;
  EXPECT_THAT(Condition("Ready"), HasSubstr("False NodesNotReady"));
  EXPECT_EQ(Status().allocatable(), 0);
}

TEST_F(PoolPlanTest, ADeletedPoolWaitsForItsVolumesThenForItsNodes) {
  Ready("n1");
  Delete();
  facts_.volumes = {"a", "b", "c", "d", "e", "f", "g"};
  EXPECT_EQ(DecidePoolOnNode(facts_, facts_.nodes[0]), PoolStep::kNothing);
  EXPECT_FALSE(CanReleasePool(facts_));
  EXPECT_EQ(Condition("Ready"),
            "False DeletionBlocked: the deletion waits for 7 volumes: a, b, c, d, e, 2 more");
  facts_.volumes.clear();
  EXPECT_EQ(DecidePoolOnNode(facts_, facts_.nodes[0]), PoolStep::kRemove);
  EXPECT_FALSE(CanReleasePool(facts_));
  facts_.nodes[0].agent = AgentState::kSilent;
  EXPECT_FALSE(CanReleasePool(facts_));
  facts_.nodes[0].agent = AgentState::kNone;
  EXPECT_TRUE(CanReleasePool(facts_));
  facts_.nodes[0].agent = AgentState::kHeard;
  facts_.nodes[0].reported = nullptr;
  EXPECT_TRUE(CanReleasePool(facts_));
  facts_.nodes[0].unreported = true;
  EXPECT_FALSE(CanReleasePool(facts_));
}

TEST_F(PoolPlanTest, ANodeThatIsNoLongerSelectedIsShownWhileThePoolIsThere) {
  Ready("n1");
  Ready("n2").selected = false;
  EXPECT_THAT(Status().nodes(), SizeIs(2));
  EXPECT_EQ(Status().selected_nodes(), 1);
  EXPECT_EQ(Status().nodes(1).reason(), "NotSelected");
  EXPECT_EQ(Status().nodes(1).allocatable(), 0);
  EXPECT_THAT(Condition("Ready"), HasSubstr("True"));
}

TEST_F(PoolPlanTest, NumbersAloneAreNewsThatCanWait) {
  Ready("n1");
  const v1alpha1::PoolStatus before = Status();
  State(0).set_allocatable_bytes(kGi);
  State(0).set_volumes(3);
  EXPECT_TRUE(DiffersOnlyInNumbers(before, Status()));
  State(0).set_ready(false);
  EXPECT_FALSE(DiffersOnlyInNumbers(before, Status()));
}

TEST(EnsureRequest, CarriesEveryField) {
  v1alpha1::Pool pool;
  pool.mutable_metadata()->set_name("fast");
  pool.mutable_metadata()->set_uid("uid-1");
  v1alpha1::PoolSpec& spec = *pool.mutable_spec();
  spec.mutable_directory()->set_path("/data");
  spec.mutable_directory()->set_capacity(5);
  spec.set_provisioning("Sparse");
  spec.set_reserve(7);
  spec.set_overprovision_percent(200);
  agent::v1::EnsurePoolRequest request = EnsureRequest(pool);
  EXPECT_EQ(request.name(), "fast");
  EXPECT_EQ(request.uid(), "uid-1");
  EXPECT_EQ(request.directory().path(), "/data");
  EXPECT_EQ(request.directory().capacity_bytes(), 5);
  EXPECT_EQ(request.provisioning(), agent::v1::PROVISIONING_SPARSE);
  EXPECT_EQ(request.reserve_bytes(), 7);
  EXPECT_EQ(request.overprovision_percent(), 200);
  spec.clear_directory();
  spec.clear_overprovision_percent();
  v1alpha1::DeviceSource& devices = *spec.mutable_devices();
  devices.add_serials("s");
  devices.add_paths("/dev/x");
  devices.add_models("m*");
  devices.add_transports("nvme");
  devices.set_min_size(1);
  devices.set_max_size(2);
  spec.add_wipe("w");
  spec.add_drain("d");
  spec.mutable_lvm()->set_stripes(2);
  spec.mutable_lvm()->set_mirrors(1);
  spec.mutable_inline_volumes()->set_max_size(9);
  request = EnsureRequest(pool);
  EXPECT_EQ(request.wipe(0), "w");
  EXPECT_EQ(request.drain(0), "d");
  EXPECT_EQ(request.lvm_stripes(), 2);
  EXPECT_EQ(request.lvm_mirrors(), 1);
  EXPECT_EQ(request.inline_volume_max_bytes(), 9);
  EXPECT_EQ(request.devices().serials(0), "s");
  EXPECT_EQ(request.devices().paths(0), "/dev/x");
  EXPECT_EQ(request.devices().models(0), "m*");
  EXPECT_EQ(request.devices().transports(0), "nvme");
  EXPECT_EQ(request.devices().min_size_bytes(), 1);
  EXPECT_EQ(request.devices().max_size_bytes(), 2);
  EXPECT_EQ(request.overprovision_percent(), 100);
}

}  // namespace
}  // namespace ashlar::controller
