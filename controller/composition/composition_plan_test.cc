#include "controller/composition/composition_plan.h"

#include "absl/strings/str_cat.h"
#include "controller/composition/composition_health.h"
#include "controller/composition/composition_objects.h"
#include "controller/gpu_partition/testing/hopper.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/api/conditions.h"

namespace ashlar::controller {
namespace {

using ::testing::HasSubstr;
using Step = CompositionStep;

constexpr int64_t kGi = int64_t{1} << 30;
const absl::Time kNow = absl::FromUnixSeconds(1700000000);

// A gang of one member with a GPU and a volume, and a node that has both.
class CompositionPlan : public testing::Test {
 protected:
  CompositionPlan() {
    inventory_.mutable_gpu_driver()->set_state("Ready");
    *inventory_.add_gpus() = Hopper("GPU-a");
    agent::v1::PoolState& pool = *inventory_.add_pools();
    pool.set_name("fast");
    pool.set_ready(true);
    pool.set_allocatable_bytes(100 * kGi);
    pool.set_largest_volume_bytes(100 * kGi);
    facts_.stock = StockOf({ComposableNode{{"n1", "", &inventory_}, {}}}, {}, {});
    facts_.has_finalizer = true;
    facts_.object.mutable_metadata()->set_name("c");
    facts_.object.mutable_metadata()->set_namespace_("team");
    facts_.object.mutable_metadata()->set_uid("uid");
    v1alpha1::CompositionMember& member = *facts_.object.mutable_spec()->add_members();
    member.set_name("w");
    member.add_gpus()->set_name("gpu");
    member.add_volumes()->set_name("data");
    member.mutable_volumes(0)->set_size(kGi);
    member.mutable_volumes(0)->set_pool("fast");
  }

  Step Decide(absl::Time now = kNow) { return (last_ = DecideComposition(facts_, now)).step; }
  void Chosen() {
    ASSERT_EQ(Decide(), Step::kChoose) << last_.message;
    SetChosen(facts_, last_, kNow);
  }
  v1alpha1::Volume& MadeVolume() {
    v1alpha1::Volume& volume = facts_.made.volumes["composition-uid-w-0-data"];
    volume.mutable_metadata()->set_name("composition-uid-w-0-data");
    return volume;
  }
  void SetVolume(const char* type, absl::string_view status, const char* reason,
                 const char* message = "") {
    api::SetCondition(*MadeVolume().mutable_status()->mutable_conditions(),
                      {type, status, reason, message, 0}, kNow);
    if (status == api::kTrue && type == std::string("Carved"))
      MadeVolume().mutable_status()->set_size(kGi);
  }
  void Provisioned() {
    Chosen();
    SetVolume("Carved", api::kTrue, "Carved");
    facts_.made.persistent_volumes = {"composition-uid-w-0-data"};
    facts_.made.volume_claims = {"c-w-0-data"};
    facts_.made.claims["c-w-0"];
    facts_.made.config_maps = {"c-gang"};
  }
  std::string Condition(const char* type) {
    const k8s::Condition* condition = api::FindCondition(facts_.object.status().conditions(), type);
    return condition == nullptr ? "" : condition->status() + " " + condition->reason();
  }

  agent::v1::Inventory inventory_;
  CompositionFacts facts_;
  CompositionDecision last_;
};

TEST_F(CompositionPlan, NothingIsMadeBeforeTheFinalizerAndTheChoiceAreWritten) {
  facts_.has_finalizer = false;
  EXPECT_EQ(Decide(), Step::kTakeFinalizer);
  facts_.has_finalizer = true;
  Chosen();
  EXPECT_EQ(Decide(), Step::kCarve);
  SetVolume("Carved", api::kUnknown, "Carving");
  EXPECT_EQ(Decide(), Step::kCarve);
  SetVolume("Carved", api::kTrue, "Carved");
  EXPECT_EQ(Decide(), Step::kProvision);
}

TEST_F(CompositionPlan, ReadyIsWhatIsThereWhole) {
  Provisioned();
  EXPECT_EQ(Decide(), Step::kObserve);
  SetObserved(facts_, kNow);
  EXPECT_EQ(Condition("Ready"), "True Ready");
  for (auto* made :
       {&facts_.made.persistent_volumes, &facts_.made.volume_claims, &facts_.made.config_maps}) {
    const std::set<std::string> before = std::exchange(*made, {});
    EXPECT_EQ(Decide(), Step::kProvision);
    *made = before;
  }
  facts_.made.claims.clear();
  EXPECT_EQ(Decide(), Step::kProvision);
}

TEST_F(CompositionPlan, ARefusedVolumeGivesBackAllAndASilentAgentDoesNot) {
  Chosen();
  SetVolume("Carved", api::kFalse, "AgentUnavailable");
  EXPECT_EQ(Decide(), Step::kCarve);
  SetVolume("Carved", api::kFalse, "NoCapacity", "full");
  EXPECT_EQ(Decide(), Step::kBeginRelease);
  EXPECT_EQ(last_.reason, "VolumeRefused");
  EXPECT_THAT(last_.message, HasSubstr("full"));
  SetReleasing(facts_, last_, kNow);
  EXPECT_EQ(Decide(), Step::kRelease);
  facts_.made = {};
  EXPECT_EQ(Decide(), Step::kEndRelease);
  SetReleased(facts_, kNow);
  EXPECT_EQ(Condition("Released"), "");
  EXPECT_EQ(Decide(), Step::kChoose) << "it is placed anew";
}

TEST_F(CompositionPlan, WhatNobodyUsesGoesBackAfterItsTime) {
  Provisioned();
  EXPECT_EQ(Decide(kNow + absl::Seconds(599)), Step::kObserve);
  EXPECT_EQ(Decide(kNow + absl::Seconds(600)), Step::kBeginRelease);
  SetReleasing(facts_, last_, kNow);
  facts_.made = {};
  SetReleased(facts_, kNow);
  EXPECT_EQ(Condition("Released"), "True Expired");
  EXPECT_EQ(Decide(), Step::kNothing);
}

TEST_F(CompositionPlan, WhatPodsUseStays) {
  Provisioned();
  SetVolume("Published", api::kTrue, "Published");
  EXPECT_EQ(Decide(kNow + absl::Hours(1)), Step::kObserve);
  SetObserved(facts_, kNow);
  EXPECT_FALSE(facts_.object.status().has_reserved_until());
  SetVolume("Published", api::kFalse, "NotPublished");
  SetObserved(facts_, kNow + absl::Hours(1));
  EXPECT_EQ(facts_.object.status().reserved_until().seconds(),
            absl::ToUnixSeconds(kNow + absl::Hours(1) + absl::Minutes(10)));
}

TEST_F(CompositionPlan, AGpuThatSomebodyTookBeforeItsUseIsChosenAnew) {
  Provisioned();
  facts_.stock.inventory.nodes[0].gpus[0].taken = true;
  EXPECT_EQ(Decide(), Step::kBeginRelease);
  EXPECT_EQ(last_.reason, "PlaceTaken");
  SetVolume("Published", api::kTrue, "Published");
  EXPECT_EQ(Decide(), Step::kObserve) << "a pod uses it";
  SetObserved(facts_, kNow);
  EXPECT_EQ(Condition("Degraded"), "True MemberProblem");
  facts_.made.claims["c-w-0"].mutable_status()->mutable_allocation();
  SetObserved(facts_, kNow);
  EXPECT_EQ(Condition("Degraded"), "False Healthy") << "it is the claim's own";
}

TEST_F(CompositionPlan, WhatIsWrongWithAMemberIsNamedUntilItIsHealed) {
  Provisioned();
  const agent::v1::Inventory healthy = inventory_;
  const std::string gpu = "w-0 on node n1: GPU GPU-a: ";
  MemberNode& node = facts_.member_nodes["n1"];
  node.inventory = &inventory_;
  const auto told = [&](absl::Time now = kNow) {
    SetObserved(facts_, now);
    EXPECT_EQ(Condition("Ready"), "True Ready") << "the devices are the gang's all the same";
    const k8s::Condition& degraded =
        *api::FindCondition(facts_.object.status().conditions(), "Degraded");
    EXPECT_EQ(degraded.status(), degraded.message().empty() ? api::kFalse : api::kTrue);
    return degraded.message();
  };
  EXPECT_EQ(told(), "");
  v1alpha1::GpuHealth& health = *inventory_.mutable_gpus(0)->mutable_health();
  v1alpha1::GpuXid& xid = *health.add_xids();
  xid.mutable_at()->set_seconds(absl::ToUnixSeconds(kNow));
  xid.set_code(13);  // of a program
  EXPECT_EQ(told(), "");
  xid.set_code(79);
  EXPECT_EQ(told(), gpu + "XID 79");
  health.set_recovery_action("Reset");
  EXPECT_EQ(told(), gpu + "it needs Reset");
  health.set_recovery_action("None");
  EXPECT_EQ(told(), gpu + "XID 79");
  EXPECT_EQ(told(kNow + absl::Minutes(11)), "") << "it counts no more";
  health.set_problem("GPU is lost");
  EXPECT_EQ(told(), gpu + "it does not answer: GPU is lost");
  inventory_.clear_gpus();
  EXPECT_EQ(told(), gpu + "it is not there any more");
  inventory_.mutable_gpu_driver()->set_state("Hung");
  inventory_.mutable_gpu_driver()->set_message("in nvmlDeviceGetName");
  EXPECT_EQ(told(), gpu + "the GPUs' driver is Hung: in nvmlDeviceGetName");
  inventory_ = healthy;
  v1alpha1::ComposedMember& member = *facts_.object.mutable_status()->mutable_members(0);
  member.add_nics()->set_pci_address("0000:30:00.0");
  EXPECT_EQ(told(), "w-0 on node n1: NIC 0000:30:00.0: it is not there any more");
  inventory_.add_nics()->set_pci_address("0000:30:00.0");
  EXPECT_EQ(told(), "w-0 on node n1: NIC 0000:30:00.0: no link is up");
  inventory_.mutable_nics(0)->set_link_up(true);
  EXPECT_EQ(told(), "");
  node.gpus_problem = "somebody else's";
  EXPECT_EQ(told(), gpu + "somebody else's");
  node.gpus_problem = "";
  SetVolume("Healthy", api::kFalse, "Unhealthy", "the drive is gone");
  const std::string volume =
      "w-0 on node n1: volume data (composition-uid-w-0-data): the drive is gone";
  EXPECT_EQ(told(), volume);
  node.problem = "is gone";
  EXPECT_EQ(told(), "w-0: node n1 is gone; " + volume);
  SetVolume("Healthy", api::kTrue, "Healthy");
  node.settling = true;
  EXPECT_EQ(told(), "w-0: node n1 is gone; " + volume) << "it stays as it was told last";
  node.settling = false;
  EXPECT_EQ(told(), "w-0: node n1 is gone");
  node.problem = "";
  EXPECT_EQ(told(), "");
}

TEST_F(CompositionPlan, APartThatIsNotAsItWasMadeIsNamed) {
  facts_.object.mutable_spec()->mutable_members(0)->mutable_gpus(0)->set_profile("3g.40gb");
  Provisioned();
  facts_.member_nodes["n1"].inventory = &inventory_;
  const v1alpha1::ComposedGPU& place = facts_.object.status().members(0).gpus(0);
  agent::v1::GpuPartitionState& part = *inventory_.add_gpu_partitions();
  part.set_gpu("GPU-a");
  part.set_start(place.start());
  part.set_size(place.size());
  EXPECT_EQ(TroubleOf(facts_, kNow), "");
  part.set_problem("the driver says no");
  EXPECT_EQ(TroubleOf(facts_, kNow), absl::StrCat("w-0 on node n1: GPU GPU-a: its part 3g.40gb at ",
                                                  place.start(), ": the driver says no"));
}

TEST_F(CompositionPlan, OfANodeThatSaysNothingNobodyKnowsBetter) {
  Provisioned();
  facts_.stock.inventory.nodes.clear();
  EXPECT_EQ(Decide(), Step::kObserve);
}

TEST_F(CompositionPlan, ADeletionEndsWhenAllIsGone) {
  Provisioned();
  facts_.object.mutable_metadata()->mutable_deletion_timestamp()->set_seconds(1);
  EXPECT_EQ(Decide(), Step::kRelease);
  facts_.made = {};
  EXPECT_EQ(Decide(), Step::kDropFinalizer);
  facts_.has_finalizer = false;
  EXPECT_EQ(Decide(), Step::kNothing);
}

TEST_F(CompositionPlan, WithoutClaimsThereAreVolumesOnly) {
  facts_.serves_claims = false;
  EXPECT_EQ(Decide(), Step::kRefuse);
  EXPECT_EQ(last_.reason, "NoResourceClaims");
  facts_.object.mutable_spec()->mutable_members(0)->clear_gpus();
  EXPECT_EQ(Decide(), Step::kChoose);
}

TEST_F(CompositionPlan, HostsAreNamedByRank) {
  Chosen();
  facts_.object.mutable_spec()->set_subdomain("gang");
  const Json map = ConfigMapOf(facts_.object);
  EXPECT_EQ(JsonString(map, {"data", "hostfile"}), "c-w-0.gang slots=1\n");
  EXPECT_EQ(JsonString(map, {"data", "HOROVOD_HOSTS"}), "c-w-0.gang:1");
  EXPECT_EQ(JsonString(map, {"data", "PET_MASTER_PORT"}), "29500");
}

}  // namespace
}  // namespace ashlar::controller
