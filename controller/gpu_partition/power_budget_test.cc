#include "controller/gpu_partition/power_budget.h"

#include "absl/strings/str_cat.h"
#include "controller/dra_names/device_names.h"
#include "controller/gpu_partition/testing/hopper.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace ashlar::controller {
namespace {

using v1alpha1::GPUPartitionAllocation;

// Nodes n1 and n2, each with two GPUs of 200 to 700 W; n1 has a budget.
class PowerBudgetTest : public testing::Test {
 protected:
  PowerBudgetTest() {
    for (int n : {0, 1}) {
      inventories_[n].mutable_gpu_driver()->set_state("Ready");
      for (int i : {0, 1}) {
        v1alpha1::Gpu gpu = Hopper(absl::StrCat("GPU-", n + 1, i == 0 ? "a" : "b"));
        v1alpha1::GpuPower& power = *gpu.mutable_power();
        power.set_limit_watts(700);
        power.set_default_limit_watts(700);
        power.set_min_limit_watts(200);
        power.set_max_limit_watts(700);
        *inventories_[n].add_gpus() = gpu;
      }
    }
    nodes_ = {{"n1", "", &inventories_[0]}};
    nodes_[0].power_budget_watts = 1000;
    spec_.set_profile("3g.40gb");
    spec_.set_count(1);
    spec_.set_placement_policy("BestFit");
  }

  // The part is somebody's.
  void Promise(const std::string& owner, const std::string& gpu, int start, int watts) {
    GPUPartitionAllocation& part = promised_.parts.emplace_back();
    part.set_node("n1");
    part.set_gpu(gpu);
    part.set_profile("3g.40gb");
    part.set_start(start);
    part.set_size(4);
    if (watts > 0) part.set_power_limit_watts(watts);
    promised_.owners.push_back(owner);
  }
  // The agent tells that a claim has the part.
  void Claim(const std::string& uid, const std::string& gpu, int start, int watts) {
    agent::v1::ClaimState& claim = *inventories_[0].add_claims();
    claim.set_uid(uid);
    agent::v1::ClaimDeviceState& device = *claim.add_devices();
    device.set_driver(kGpuDriver);
    device.set_device(GpuPartDeviceName(gpu, "3g.40gb", start, 4));
    agent::v1::GpuPartitionState& part = *inventories_[0].add_gpu_partitions();
    part.set_gpu(gpu);
    part.set_claim(uid);
    part.set_power_watts(watts);
  }
  NodePower Power() const { return NodePower(nodes_[0], promised_, {}); }
  // "NODE GPU WATTS ..." or the reason and message.
  std::string Chosen() {
    const PartChoice choice =
        ChoosePartsWithin(StockOf(nodes_, promised_.parts, {}), spec_, nodes_, promised_, {});
    if (const auto* none = std::get_if<NoParts>(&choice))
      return absl::StrCat(none->reason, ": ", none->message);
    std::string text;
    for (const auto& part : std::get<std::vector<GPUPartitionAllocation>>(choice))
      absl::StrAppend(&text, text.empty() ? "" : " ", part.gpu().substr(4), "/",
                      part.power_limit_watts());
    return text;
  }

  agent::v1::Inventory inventories_[2];
  std::vector<GpuNodeFacts> nodes_;
  PromisedParts promised_;
  v1alpha1::GPUPartitionSpec spec_;
};

TEST_F(PowerBudgetTest, OfAGpuTheGreatestLimitThatIsAskedForCounts) {
  EXPECT_EQ(Power().InUse(), 0);
  Promise("team/x", "GPU-1a", 0, 300);
  EXPECT_EQ(Power().InUse(), 300);
  Promise("team/y", "GPU-1a", 4, 400);
  EXPECT_EQ(Power().InUse(), 400);
  EXPECT_EQ(Power().More("GPU-1a", 350), 0);
  EXPECT_EQ(Power().More("GPU-1a", 0), 300) << "who asks for none wants all";
  EXPECT_EQ(Power().More("GPU-1b", 350), 350);
  Promise("team/z", "GPU-1b", 0, 0);
  EXPECT_EQ(Power().InUse(), 1100);
  EXPECT_EQ(Power().Left(), -100);
  EXPECT_EQ(Power().Words(),
            "1000 W are allowed, and 1100 W are taken: GPU-1a 400 W by team/x, team/y; "
            "GPU-1b 700 W by team/z");
}

TEST_F(PowerBudgetTest, ClaimsThatNoGPUPartitionStandsForCountAsTheAgentTellsThem) {
  Promise("team/x", "GPU-1a", 0, 300);
  Claim("uid-x", "GPU-1a", 0, 300);
  EXPECT_EQ(Power().InUse(), 300) << "the same part, told twice";
  Claim("uid-y", "GPU-1b", 0, 250);
  EXPECT_EQ(Power().InUse(), 550);
  EXPECT_EQ(NodePower(nodes_[0], promised_, {"uid-y"}).InUse(), 300);
  v1alpha1::Mig& mig = *inventories_[0].mutable_gpus(1)->mutable_mig();
  mig.add_instances()->set_id(3);
  EXPECT_EQ(Power().InUse(), 1000) << "somebody else's instance may draw all";
}

TEST_F(PowerBudgetTest, PartsGoWhereTheBudgetLasts) {
  spec_.set_power_limit_watts(600);
  EXPECT_EQ(Chosen(), "1a/600");
  Promise("team/x", "GPU-1a", 4, 600);
  EXPECT_EQ(Chosen(), "1a/600") << "beside one that draws as much it adds nothing";
  Promise("team/y", "GPU-1a", 0, 600);
  EXPECT_EQ(
      Chosen(),
      "PowerBudgetExceeded: spec.powerLimitWatts: Invalid value: 600: more than "
      "NodeInventory.spec.gpuPowerBudgetWatts leaves on node n1: 1000 W are allowed, and 600 W "
      "are taken: GPU-1a 600 W by team/x, team/y. Ask for less, free one of these, or raise "
      "the budget");
  nodes_.push_back({"n2", "", &inventories_[1]});
  EXPECT_EQ(Chosen(), "2a/600") << "a node without a budget gives what it has";
  nodes_.pop_back();
  spec_.set_power_limit_watts(400);
  EXPECT_EQ(Chosen(), "1b/400");
  spec_.clear_power_limit_watts();
  EXPECT_EQ(Chosen().substr(0, 82),
            "PowerBudgetExceeded: without spec.powerLimitWatts a GPU draws what it can: more th");
}

TEST_F(PowerBudgetTest, SeveralPartsAreKeptTogetherIfTheyWouldExceedItApart) {
  spec_.set_placement_policy("Spread");
  spec_.set_count(2);
  spec_.set_power_limit_watts(400);
  EXPECT_EQ(Chosen(), "1a/400 1b/400");
  spec_.set_power_limit_watts(600);
  EXPECT_EQ(Chosen(), "1a/600 1a/600");
  spec_.set_count(3);
  EXPECT_EQ(Chosen().substr(0, 20), "PowerBudgetExceeded:");
}

TEST_F(PowerBudgetTest, ALimitThatNoGpuTakesIsNamedWithItsRange) {
  nodes_[0].power_budget_watts = 0;
  spec_.set_power_limit_watts(900);
  EXPECT_EQ(Chosen(),
            "PowerLimitOutOfRange: spec.powerLimitWatts: Invalid value: 900: the GPUs that have "
            "room take 200 to 700 W");
  inventories_[0].mutable_gpus(1)->mutable_power()->set_max_limit_watts(1000);
  EXPECT_EQ(Chosen(), "1b/900");
  for (auto& gpu : *inventories_[0].mutable_gpus()) gpu.clear_power();
  EXPECT_EQ(Chosen(),
            "PowerLimitOutOfRange: spec.powerLimitWatts: Invalid value: 900: no GPU of these nodes "
            "can be limited");
}

TEST_F(PowerBudgetTest, WithoutRoomTheReasonIsNotThePower) {
  spec_.set_power_limit_watts(300);
  for (const char* gpu : {"GPU-1a", "GPU-1b"})
    for (int start : {0, 4}) Promise("team/x", gpu, start, 300);
  EXPECT_EQ(Chosen().substr(0, 7), "NoRoom:");
}

TEST_F(PowerBudgetTest, OfGangsOnlySoManyGpusAreFreeAsTheBudgetLasts) {
  composer::NodeDevices node = StockOf(nodes_, {}, {}).inventory.nodes[0];
  KeepWithinBudget(Power(), 0, node);
  EXPECT_EQ(node.gpus[0].problem, "") << "700 W of 1000 W";
  EXPECT_EQ(node.gpus[1].problem, "the node's power budget does not last");
  Promise("team/x", "GPU-1b", 0, 0);
  node = StockOf(nodes_, {}, {}).inventory.nodes[0];
  KeepWithinBudget(Power(), 0, node);
  EXPECT_EQ(node.gpus[1].problem, "") << "it draws already";
  EXPECT_NE(node.gpus[0].problem, "");
}

}  // namespace
}  // namespace ashlar::controller
