#include "controller/gpu_partition/gpu_partition_plan.h"

#include "absl/strings/str_cat.h"
#include "controller/gpu_partition/testing/hopper.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/api/conditions.h"

namespace ashlar::controller {
namespace {

using ::testing::HasSubstr;
using v1alpha1::GPUPartitionAllocation;

constexpr int64_t kGi = int64_t{1} << 30;
const absl::Time kNow = absl::FromUnixSeconds(1700000000);

class GpuPartitionPlan : public testing::Test {
 protected:
  GpuPartitionPlan() {
    inventory_.mutable_gpu_driver()->set_state("Ready");
    *inventory_.add_gpus() = Hopper("GPU-a");
    *inventory_.add_gpus() = Hopper("GPU-b");
    facts_.nodes = {{"n1", "", &inventory_}};
    v1alpha1::GPUPartition& object = facts_.object;
    object.mutable_metadata()->set_name("p");
    object.mutable_metadata()->set_namespace_("team");
    object.mutable_metadata()->set_uid("uid-p");
    object.mutable_spec()->set_profile("3g.40gb");
    object.mutable_spec()->set_count(1);
    object.mutable_spec()->set_placement_policy("BestFit");
  }

  v1alpha1::GPUPartitionSpec& Spec() { return *facts_.object.mutable_spec(); }
  // The GPUs and places that are chosen, as "a/4 b/0".
  std::string Chosen() {
    const GpuPartitionDecision decision = DecideGpuPartition(facts_);
    if (decision.step != GpuPartitionStep::kChoose)
      return absl::StrCat(decision.reason, ": ", decision.message);
    std::string text;
    for (const GPUPartitionAllocation& part : decision.allocations)
      absl::StrAppend(&text, text.empty() ? "" : " ", part.gpu().substr(4), "/", part.start());
    return text;
  }
  void Promise(const std::string& gpu, const std::string& profile, int start, int size) {
    GPUPartitionAllocation& part = facts_.promised.emplace_back();
    part.set_node("n1");
    part.set_gpu(gpu);
    part.set_profile(profile);
    part.set_start(start);
    part.set_size(size);
  }
  // An instance on GPU-a; `claim`: nullptr: somebody else's, "": kept.
  void AddInstance(int id, const char* profile, int start, int size, const char* claim) {
    v1alpha1::MigInstance& instance = *inventory_.mutable_gpus(0)->mutable_mig()->add_instances();
    inventory_.mutable_gpus(0)->mutable_mig()->set_enabled(true);
    instance.set_id(id);
    instance.set_profile(profile);
    instance.set_start(start);
    instance.set_size(size);
    if (claim == nullptr) return;
    agent::v1::GpuPartitionState& part = *inventory_.add_gpu_partitions();
    part.set_gpu("GPU-a");
    part.set_profile(profile);
    part.set_gpu_instance(id);
    part.set_start(start);
    part.set_size(size);
    part.set_claim(claim);
    part.set_mig_device("MIG-1");
  }
  void ChooseAndMakeClaim() {
    SetPartsChosen(facts_.object, DecideGpuPartition(facts_).allocations, kNow);
    EXPECT_EQ(DecideGpuPartition(facts_).step, GpuPartitionStep::kMakeClaim);
    k8s::ResourceClaim& claim = facts_.claim.emplace();
    claim.mutable_metadata()->set_uid("uid-c");
    claim.mutable_metadata()->add_owner_references()->set_uid("uid-p");
  }
  std::string Condition(const std::string& type) {
    const k8s::Condition* condition = api::FindCondition(facts_.object.status().conditions(), type);
    return condition == nullptr ? "" : absl::StrCat(condition->status(), " ", condition->reason());
  }

  agent::v1::Inventory inventory_;
  GpuPartitionFacts facts_;
};

TEST_F(GpuPartitionPlan, BestFitKeepsTheLargestPlacesFree) {
  EXPECT_EQ(Chosen(), "a/4") << "4g.40gb can still be made at 0";
  Spec().set_count(2);
  EXPECT_EQ(Chosen(), "a/4 a/0");
  Spec().set_placement_policy("Spread");
  EXPECT_EQ(Chosen(), "a/4 b/4");
}

TEST_F(GpuPartitionPlan, WhatOthersHaveOrWerePromisedIsNotFree) {
  AddInstance(1, "3g.40gb", 4, 4, nullptr);
  Promise("GPU-b", "1g.10gb", 6, 1);
  EXPECT_EQ(Chosen(), "a/0");
  Promise("GPU-a", "2g.20gb", 0, 2);
  EXPECT_EQ(Chosen(), "b/0");
  Promise("GPU-b", "1g.10gb", 3, 1);
  EXPECT_THAT(Chosen(), HasSubstr("NoRoom: "));
  EXPECT_THAT(Chosen(), HasSubstr("n1"));
}

TEST_F(GpuPartitionPlan, WhatIsKeptForNobodyGivesWay) {
  AddInstance(1, "1g.10gb", 4, 1, "");
  AddInstance(2, "1g.10gb", 0, 1, "another claim");
  EXPECT_EQ(Chosen(), "a/4");
}

TEST_F(GpuPartitionPlan, WhatClaimsHaveThatIsNotMadeYetIsNotFree) {
  agent::v1::ClaimState& claim = *inventory_.add_claims();
  claim.set_uid("other");
  agent::v1::ClaimDeviceState& device = *claim.add_devices();
  device.set_driver("gpu.ashlar.dev");
  SetPartsChosen(facts_.object, DecideGpuPartition(facts_).allocations, kNow);
  device.set_device(facts_.object.status().allocations(0).device());
  facts_.object.clear_status();
  EXPECT_EQ(Chosen(), "a/0");
}

TEST_F(GpuPartitionPlan, TheSmallestProfileThatHasTheResourcesIsTaken) {
  Spec().clear_profile();
  Spec().mutable_min_resources()->set_memory(15 * kGi);
  EXPECT_EQ(DecideGpuPartition(facts_).allocations.at(0).profile(), "2g.20gb");
  Spec().mutable_min_resources()->set_compute_slices(4);
  EXPECT_EQ(DecideGpuPartition(facts_).allocations.at(0).profile(), "4g.40gb");
  Promise("GPU-a", "1g.10gb", 0, 1);
  Promise("GPU-b", "1g.10gb", 3, 1);
  EXPECT_THAT(Chosen(), HasSubstr("NoRoom: ")) << "nor is there room for a larger one";
}

TEST_F(GpuPartitionPlan, SelectionsAreHeeded) {
  Spec().mutable_gpus()->add_names("GPU-b");
  EXPECT_EQ(Chosen(), "b/4");
  Spec().mutable_gpus()->add_architectures("Ampere");
  EXPECT_THAT(Chosen(), HasSubstr("NoRoom: "));
  Spec().clear_gpus();
  Spec().set_profile("3g.20gb");
  EXPECT_THAT(Chosen(), HasSubstr("NoSuchProfile: "));
  facts_.nodes.clear();
  EXPECT_THAT(Chosen(), HasSubstr("NoNodes: "));
}

TEST_F(GpuPartitionPlan, AGpuThatCannotBeDividedNowIsLeftOut) {
  inventory_.mutable_gpus(0)->set_architecture("Ampere");
  EXPECT_EQ(Chosen(), "b/4");
  inventory_.mutable_gpus(1)->mutable_health()->set_problem("GPU is lost");
  EXPECT_THAT(Chosen(), HasSubstr("NoRoom: "));
}

TEST_F(GpuPartitionPlan, TheClaimIsForExactlyTheParts) {
  Spec().set_count(2);
  ChooseAndMakeClaim();
  const Json claim = ClaimOf(facts_.object);
  EXPECT_EQ(JsonString(claim, {"metadata", "namespace"}), "team");
  EXPECT_EQ(claim["metadata"]["ownerReferences"][0]["uid"], "uid-p");
  const Json& requests = claim["spec"]["devices"]["requests"];
  ASSERT_EQ(requests.size(), 2u);
  EXPECT_EQ(requests[1]["name"], "part-1");
  const std::string expression =
      requests[0]["exactly"]["selectors"][0]["cel"]["expression"].get<std::string>();
  EXPECT_THAT(expression, HasSubstr("parentUUID == \"GPU-a\""));
  EXPECT_THAT(expression, HasSubstr("placementStart == 4"));
  EXPECT_EQ(facts_.object.status().resource_claim_name(), "p");
  EXPECT_FALSE(claim["spec"]["devices"].contains("config"));
  Spec().set_reclaim_policy("KeepIdle");
  EXPECT_EQ(
      ClaimOf(facts_.object)["spec"]["devices"]["config"][0]["opaque"]["parameters"]["keepSeconds"],
      600);
  Spec().set_idle_ttl_seconds(60);
  EXPECT_EQ(
      ClaimOf(facts_.object)["spec"]["devices"]["config"][0]["opaque"]["parameters"]["keepSeconds"],
      60);
}

TEST_F(GpuPartitionPlan, AChoiceThatSomebodyElseTookIsMadeAnewUnlessTheClaimIsInUse) {
  ChooseAndMakeClaim();
  EXPECT_EQ(DecideGpuPartition(facts_).step, GpuPartitionStep::kObserve);
  AddInstance(1, "1g.10gb", 6, 1, nullptr);
  EXPECT_EQ(DecideGpuPartition(facts_).step, GpuPartitionStep::kDropClaim);
  facts_.claim->mutable_status()->mutable_allocation();
  EXPECT_EQ(DecideGpuPartition(facts_).step, GpuPartitionStep::kObserve);
  facts_.claim->mutable_metadata()->clear_owner_references();
  EXPECT_EQ(DecideGpuPartition(facts_).reason, "ClaimNameTaken");
}

TEST_F(GpuPartitionPlan, TheStatusTellsWhatTheAgentSays) {
  ChooseAndMakeClaim();
  SetPartsObserved(facts_, kNow);
  EXPECT_EQ(Condition("Allocated"), "True Chosen");
  EXPECT_EQ(Condition("Prepared"), "False NotUsed");
  EXPECT_EQ(Condition("Healthy"), "True Healthy");
  AddInstance(1, "3g.40gb", 4, 4, "uid-c");
  EXPECT_EQ(DecideGpuPartition(facts_).step, GpuPartitionStep::kObserve) << "it is our own";
  SetPartsObserved(facts_, kNow);
  EXPECT_EQ(Condition("Prepared"), "True Made");
  EXPECT_EQ(Condition("ReconfigurationBlocked"), "False NotBlocked");
  EXPECT_EQ(facts_.object.status().allocations(0).mig_uuid(), "MIG-1");
  inventory_.mutable_gpu_partitions(0)->set_problem("InUse: its MIG mode cannot change now");
  inventory_.mutable_gpus(0)->mutable_health()->set_problem("GPU is lost");
  SetPartsObserved(facts_, kNow);
  EXPECT_EQ(Condition("Prepared"), "False InUse");
  EXPECT_EQ(Condition("ReconfigurationBlocked"), "True InUse");
  EXPECT_EQ(Condition("Healthy"), "False GpuProblem");
  EXPECT_EQ(facts_.object.status().allocations(0).mig_uuid(), "");
  facts_.nodes[0].inventory = nullptr;
  SetPartsObserved(facts_, kNow);
  EXPECT_EQ(Condition("Healthy"), "Unknown AgentSilent");
}

}  // namespace
}  // namespace ashlar::controller
