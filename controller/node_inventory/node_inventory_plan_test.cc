#include "controller/node_inventory/node_inventory_plan.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/api/conditions.h"
#include "lib/api/kinds.h"

namespace ashlar::controller {
namespace {

using ::testing::HasSubstr;

const absl::Time kNow = absl::FromUnixSeconds(1700000000);

class NodeInventoryPlanTest : public testing::Test {
 protected:
  NodeInventoryPlanTest() {
    facts_.exists = true;
    facts_.node_exists = true;
    facts_.agent = AgentState::kHeard;
    facts_.last_heard = kNow;
    facts_.inventory = &inventory_;
    inventory_.set_agent_version("1.2");
    inventory_.set_boot_id("b");
    inventory_.set_kernel("6.1");
  }
  std::string Condition(const char* type) {
    SetNodeInventoryStatus(facts_, absl::Minutes(1), now_);
    const k8s::Condition* c = api::FindCondition(facts_.object.status().conditions(), type);
    return c == nullptr ? "none" : c->status() + " " + c->reason() + ": " + c->message();
  }
  int64_t LastHeard() {
    SetNodeInventoryStatus(facts_, absl::Minutes(1), now_);
    return facts_.object.status().last_heard().seconds();
  }

  absl::Time now_ = kNow;
  agent::v1::Inventory inventory_;
  NodeInventoryFacts facts_;
};

TEST_F(NodeInventoryPlanTest, ObjectsExistForNodesThatHadAnAgent) {
  auto step = [&](bool exists, bool node, bool inventory) {
    facts_.exists = exists;
    facts_.node_exists = node;
    facts_.inventory = inventory ? &inventory_ : nullptr;
    return DecideNodeInventory(facts_);
  };
  EXPECT_EQ(step(false, true, true), NodeInventoryStep::kCreate);
  EXPECT_EQ(step(false, true, false), NodeInventoryStep::kNothing);
  EXPECT_EQ(step(true, true, true), NodeInventoryStep::kUpdate);
  EXPECT_EQ(step(true, true, false), NodeInventoryStep::kUpdate);
  EXPECT_EQ(step(true, false, true), NodeInventoryStep::kDelete);
  EXPECT_EQ(step(false, false, true), NodeInventoryStep::kNothing);
}

TEST_F(NodeInventoryPlanTest, GpusAndHowTheyLieAreAsTheAgentTellsThem) {
  EXPECT_EQ(Condition("Ready"), "True Ready: ");
  EXPECT_FALSE(facts_.object.status().has_gpu_count());
  inventory_.mutable_gpu_driver()->set_state("Ready");
  inventory_.add_gpus()->set_uuid("GPU-1");
  inventory_.add_domains()->set_name("numa-0");
  inventory_.add_paths()->set_level("Switch");
  inventory_.mutable_gds()->set_nvidia_fs(true);
  inventory_.add_nics()->set_pci_address("0000:43:00.0");
  EXPECT_EQ(Condition("DevicesHealthy"), "True Healthy: ");
  const v1alpha1::NodeInventoryStatus& status = facts_.object.status();
  EXPECT_EQ(status.gpu_count(), 1);
  EXPECT_EQ(status.gpus(0).uuid(), "GPU-1");
  EXPECT_EQ(status.domains(0).name(), "numa-0");
  EXPECT_EQ(status.paths(0).level(), "Switch");
  EXPECT_TRUE(status.gds().nvidia_fs());
  EXPECT_EQ(status.nics(0).pci_address(), "0000:43:00.0");
  inventory_.clear_gpus();
  inventory_.mutable_gpu_driver()->set_state("NoLibrary");
  EXPECT_EQ(Condition("DevicesHealthy"), "True Healthy: ");
  EXPECT_EQ(facts_.object.status().gpu_count(), 0);
}

TEST_F(NodeInventoryPlanTest, GpusThatNeedSomethingMakeDevicesUnhealthy) {
  v1alpha1::Gpu& gpu = *inventory_.add_gpus();
  gpu.set_uuid("GPU-1");
  gpu.mutable_health()->set_recovery_action("None");
  EXPECT_EQ(Condition("DevicesHealthy"), "True Healthy: ");
  gpu.mutable_health()->set_recovery_action("Reset");
  EXPECT_THAT(Condition("DevicesHealthy"), HasSubstr("GPU GPU-1 needs Reset"));
  gpu.mutable_health()->set_problem("GPU is lost (15)");
  EXPECT_THAT(Condition("DevicesHealthy"), HasSubstr("does not answer: GPU is lost"));
  gpu.clear_health();
  gpu.mutable_health()->set_row_remap_failed(true);
  EXPECT_THAT(Condition("DevicesHealthy"), HasSubstr("has memory that cannot be repaired"));
  gpu.clear_health();
  gpu.mutable_health()->set_tpc_repair_pending(true);
  EXPECT_THAT(Condition("DevicesHealthy"), HasSubstr("a reset that repairs its processors"));
  gpu.clear_health();
  gpu.mutable_health()->set_link_problem("8 of 16 lanes");
  EXPECT_THAT(Condition("DevicesHealthy"), HasSubstr("has a slow PCIe link: 8 of 16 lanes"));
  inventory_.clear_gpus();
  inventory_.mutable_gpu_driver()->set_state("Hung");
  inventory_.mutable_gpu_driver()->set_message("nvmlInit_v2 did not return within 1m");
  EXPECT_THAT(Condition("DevicesHealthy"), HasSubstr("nvmlInit_v2 did not return"));
}

TEST_F(NodeInventoryPlanTest, ABudgetThatIsExceededSaysByWhomAndHowThatEnds) {
  for (const char* uuid : {"GPU-1", "GPU-2"}) {
    v1alpha1::Gpu& gpu = *inventory_.add_gpus();
    gpu.set_uuid(uuid);
    gpu.mutable_power()->set_limit_watts(700);
  }
  inventory_.mutable_gpus(1)->mutable_mig()->add_instances()->set_id(1);
  EXPECT_EQ(Condition("PowerBudgetExceeded"), "none") << "there is no budget";
  EXPECT_EQ(facts_.object.status().gpu_power_watts(), 700) << "of the GPU that is in use";
  facts_.object.mutable_spec()->set_gpu_power_budget_watts(700);
  EXPECT_EQ(Condition("PowerBudgetExceeded"), "False WithinBudget: ");
  facts_.object.mutable_spec()->set_gpu_power_budget_watts(600);
  EXPECT_EQ(Condition("PowerBudgetExceeded"),
            "True BudgetExceeded: 600 W are allowed, and 700 W are taken: GPU-2 700 W by somebody "
            "else; no more is given out until one of these has ended, or spec.gpuPowerBudgetWatts "
            "is raised");
  facts_.object.mutable_spec()->clear_gpu_power_budget_watts();
  EXPECT_EQ(Condition("PowerBudgetExceeded"), "none");
}

TEST_F(NodeInventoryPlanTest, DrivesAreFreeInUseOrCarryAPool) {
  inventory_.add_drives()->set_id("free");
  inventory_.add_drives()->set_id("used");
  inventory_.mutable_drives(1)->set_busy_reason("mounted at /");
  inventory_.add_drives()->set_id("pool");
  inventory_.mutable_drives(2)->set_pool("fast");
  EXPECT_EQ(Condition("Ready"), "True Ready: ");
  const v1alpha1::NodeInventoryStatus& status = facts_.object.status();
  EXPECT_EQ(status.drives(0).state(), "Free");
  EXPECT_EQ(status.drives(1).state(), "InUse");
  EXPECT_EQ(status.drives(1).reason(), "mounted at /");
  EXPECT_EQ(status.drives(2).state(), "Pool");
  EXPECT_EQ(status.drives(2).pool(), "fast");
  EXPECT_EQ(status.drive_count(), 3);
  EXPECT_EQ(status.free_drive_count(), 1);
  EXPECT_EQ(status.agent_version(), "1.2");
  EXPECT_EQ(status.boot_id(), "b");
  EXPECT_EQ(status.kernel(), "6.1");
}

TEST_F(NodeInventoryPlanTest, FactsThatADriveDoesNotTellAreAbsent) {
  inventory_.add_drives()->set_id("sata");
  inventory_.mutable_drives(0)->add_paths()->add_pci("0000:80:02.0");
  EXPECT_EQ(Condition("Ready"), "True Ready: ");
  const Json drive = api::ToJson(facts_.object.status().drives(0));
  for (const char* absent : {"nvme", "health", "firmware"})
    EXPECT_FALSE(drive.contains(absent)) << absent;
  for (const char* absent : {"linkWidth", "maxLinkWidth", "iommuGroup", "iommuTranslates"})
    EXPECT_FALSE(drive["paths"][0].contains(absent)) << absent;
}

TEST_F(NodeInventoryPlanTest, WhatAnNvmeDriveTellsIsInTheStatus) {
  agent::v1::Drive& from = *inventory_.add_drives();
  from.set_id("nvme");
  agent::v1::NvmeFacts& nvme = *from.mutable_nvme();
  nvme.set_namespace_id(2);
  nvme.set_sanitize_block(true);
  nvme.set_format_crypto(true);
  nvme.set_capacity_bytes(int64_t{1} << 40);
  agent::v1::LbaFormat& format = *nvme.add_lba_formats();
  format.set_data_bytes(4096);
  format.set_relative_performance(2);
  format.set_in_use(true);
  from.mutable_health()->set_used_percent(3);
  from.mutable_health()->set_critical_warnings(0b1001);
  EXPECT_EQ(Condition("DevicesHealthy"),
            "False DevicesUnhealthy: drive nvme warns: SpareLow, ReadOnly");
  const Json drive = api::ToJson(facts_.object.status().drives(0));
  EXPECT_EQ(drive["nvme"]["namespaceId"], 2);
  EXPECT_EQ(drive["nvme"]["erase"], Json({"SanitizeBlock", "FormatCrypto"}));
  EXPECT_EQ(drive["nvme"]["capacity"], "1Ti");
  EXPECT_EQ(drive["nvme"]["unallocated"], "0");
  EXPECT_EQ(drive["nvme"]["lbaFormats"][0]["dataBytes"], 4096);
  EXPECT_EQ(drive["nvme"]["lbaFormats"][0]["performance"], "Good");
  EXPECT_EQ(drive["health"]["usedPercent"], 3);
  EXPECT_EQ(drive["health"]["mediaErrors"], 0);
}

TEST_F(NodeInventoryPlanTest, AHeartbeatIsNotAWrite) {
  EXPECT_EQ(LastHeard(), absl::ToUnixSeconds(kNow));
  facts_.last_heard = now_ = kNow + absl::Seconds(59);
  EXPECT_EQ(LastHeard(), absl::ToUnixSeconds(kNow));
  facts_.last_heard = now_ = kNow + absl::Seconds(60);
  EXPECT_EQ(LastHeard(), absl::ToUnixSeconds(kNow) + 60);
}

TEST_F(NodeInventoryPlanTest, ASilentAgentKeepsItsDrivesAndLosesItsConditions) {
  inventory_.add_drives()->set_id("d");
  Condition("Ready");
  facts_.agent = AgentState::kSilent;
  facts_.settling = true;
  EXPECT_EQ(Condition("InventoryFresh"), "True Heard: ");
  facts_.settling = false;
  facts_.agent_detail = "not heard since noon";
  EXPECT_EQ(Condition("InventoryFresh"), "False AgentSilent: the agent is not heard since noon");
  EXPECT_THAT(Condition("Ready"), HasSubstr("False AgentSilent"));
  EXPECT_THAT(Condition("DevicesHealthy"), HasSubstr("Unknown"));
  EXPECT_EQ(facts_.object.status().drives_size(), 1);
  facts_.agent = AgentState::kNone;
  EXPECT_THAT(Condition("Ready"), HasSubstr("False NoAgent"));
}

TEST_F(NodeInventoryPlanTest, HealthNamesPoolsAndVolumes) {
  EXPECT_EQ(Condition("DevicesHealthy"), "True Healthy: ");
  agent::v1::PoolState& pool = *inventory_.add_pools();
  pool.set_name("fast");
  pool.set_reason("NotMounted");
  pool.set_message("no such drive");
  inventory_.add_volumes()->set_healthy(false);
  EXPECT_EQ(Condition("DevicesHealthy"),
            "False DevicesUnhealthy: pool fast: NotMounted: no such drive; "
            "1 volume is not healthy");
}

}  // namespace
}  // namespace ashlar::controller
