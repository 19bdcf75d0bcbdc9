#include "controller/node_inventory/node_inventory_plan.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "controller/gpu_partition/power_budget.h"
#include "controller/node_inventory/drive_status.h"
#include "controller/slices/gpu_health.h"
#include "lib/api/conditions.h"

namespace ashlar::controller {
namespace {

void Set(v1alpha1::NodeInventory& object, absl::string_view type, absl::string_view status,
         absl::string_view reason, absl::string_view message, absl::Time now) {
  api::SetCondition(*object.mutable_status()->mutable_conditions(),
                    {type, status, reason, message, object.metadata().generation()}, now);
}

void CopyGpus(const agent::v1::Inventory& inventory, v1alpha1::NodeInventoryStatus& status) {
  status.clear_gpu_driver();
  status.clear_gpu_count();
  status.clear_gds();
  if (inventory.has_gpu_driver()) {
    *status.mutable_gpu_driver() = inventory.gpu_driver();
    status.set_gpu_count(inventory.gpus_size());
  }
  if (inventory.has_gds()) *status.mutable_gds() = inventory.gds();
  *status.mutable_gpus() = inventory.gpus();
  *status.mutable_domains() = inventory.domains();
  *status.mutable_paths() = inventory.paths();
  *status.mutable_nics() = inventory.nics();
}

void CopyInventory(const agent::v1::Inventory& inventory, v1alpha1::NodeInventoryStatus& status) {
  status.set_agent_version(inventory.agent_version());
  status.set_boot_id(inventory.boot_id());
  status.set_kernel(inventory.kernel());
  status.clear_drives();
  int free = 0;
  for (const agent::v1::Drive& drive : inventory.drives()) {
    *status.add_drives() = DriveOf(drive);
    free += status.drives(status.drives_size() - 1).state() == "Free" ? 1 : 0;
  }
  status.set_drive_count(inventory.drives_size());
  status.set_free_drive_count(free);
  CopyGpus(inventory, status);
}

void SetLastHeard(v1alpha1::NodeInventoryStatus& status, absl::Time heard,
                  absl::Duration throttle) {
  const absl::Time known = absl::FromUnixSeconds(status.last_heard().seconds());
  if (heard == absl::InfinitePast()) return;
  if (status.has_last_heard() && heard - known < throttle) return;
  status.mutable_last_heard()->set_seconds(absl::ToUnixSeconds(heard));
}

// What makes it slower than it could be, and no reason not to use it.
std::string LinkProblem(const v1alpha1::Gpu& gpu) {
  if (!gpu.health().link_problem().empty())
    return absl::StrCat("has a slow PCIe link: ", gpu.health().link_problem());
  return gpu.fabric().health() == "Unhealthy" ? "has a fabric of NVLinks that is not healthy" : "";
}

void SetHealth(NodeInventoryFacts& facts, absl::Time now) {
  std::string bad;
  for (const agent::v1::PoolState& pool : facts.inventory->pools()) {
    if (pool.ready()) continue;
    absl::StrAppend(&bad, bad.empty() ? "" : "; ", "pool ", pool.name(), ": ", pool.reason(), ": ",
                    pool.message());
  }
  for (const v1alpha1::Drive& drive : facts.object.status().drives()) {
    if (drive.health().warnings().empty()) continue;
    absl::StrAppend(&bad, bad.empty() ? "" : "; ", "drive ", drive.id(),
                    " warns: ", absl::StrJoin(drive.health().warnings(), ", "));
  }
  for (const v1alpha1::Gpu& gpu : facts.object.status().gpus()) {
    std::string problem = GpuProblem(gpu);
    if (problem.empty()) problem = LinkProblem(gpu);
    if (problem.empty()) continue;
    absl::StrAppend(&bad, bad.empty() ? "" : "; ", "GPU ", gpu.uuid(), " ", problem);
  }
  // Without a driver there are no GPUs that could be ill.
  const v1alpha1::GpuDriver& driver = facts.object.status().gpu_driver();
  if (driver.state() == "Hung" || driver.state() == "Failed") {
    absl::StrAppend(&bad, bad.empty() ? "" : "; ", "the GPUs' driver: ", driver.message());
  }
  int unhealthy = 0;
  for (const agent::v1::VolumeState& volume : facts.inventory->volumes()) {
    unhealthy += volume.healthy() ? 0 : 1;
  }
  if (unhealthy > 0) {
    absl::StrAppend(&bad, bad.empty() ? "" : "; ", unhealthy,
                    unhealthy == 1 ? " volume is" : " volumes are", " not healthy");
  }
  if (bad.empty()) return Set(facts.object, "DevicesHealthy", api::kTrue, "Healthy", "", now);
  Set(facts.object, "DevicesHealthy", api::kFalse, "DevicesUnhealthy", bad, now);
}

void SetOwnership(NodeInventoryFacts& facts, absl::Time now) {
  constexpr absl::string_view kType = "OwnershipConflict";
  if (facts.object.spec().gpu_ownership() != "Manage") {
    api::RemoveCondition(*facts.object.mutable_status()->mutable_conditions(), kType);
  } else if (facts.other_gpu_owner.empty()) {
    Set(facts.object, kType, api::kFalse, "NoOtherOwner", "", now);
  } else {
    Set(facts.object, kType, api::kTrue, "OtherOwner",
        absl::StrCat("GPUs are not handed out by Ashlar, because somebody else does: ",
                     facts.other_gpu_owner,
                     "; switch that off on the node, or set spec.gpuOwnership to Observe"),
        now);
  }
}

// What GPUs that are in use may draw, and what of the budget that is.
void SetPower(NodeInventoryFacts& facts, absl::Time now) {
  constexpr absl::string_view kType = "PowerBudgetExceeded";
  v1alpha1::NodeInventoryStatus& status = *facts.object.mutable_status();
  const NodePower power({.name = facts.object.metadata().name(),
                         .inventory = facts.inventory,
                         .power_budget_watts = facts.object.spec().gpu_power_budget_watts()},
                        {}, {});
  status.clear_gpu_power_watts();
  for (const v1alpha1::Gpu& gpu : status.gpus())
    if (gpu.has_power()) status.set_gpu_power_watts(power.InUse());
  if (!power.has_budget())
    api::RemoveCondition(*status.mutable_conditions(), kType);
  else if (power.Left() >= 0)
    Set(facts.object, kType, api::kFalse, "WithinBudget", "", now);
  else
    Set(facts.object, kType, api::kTrue, "BudgetExceeded",
        absl::StrCat(power.Words(),
                     "; no more is given out until one of these has ended, or "
                     "spec.gpuPowerBudgetWatts is raised"),
        now);
}

}  // namespace

NodeInventoryStep DecideNodeInventory(const NodeInventoryFacts& facts) {
  if (!facts.node_exists) {
    return facts.exists ? NodeInventoryStep::kDelete : NodeInventoryStep::kNothing;
  }
  if (facts.exists) return NodeInventoryStep::kUpdate;
  // Nodes that never had an agent are not listed.
  return facts.inventory == nullptr ? NodeInventoryStep::kNothing : NodeInventoryStep::kCreate;
}

void SetNodeInventoryStatus(NodeInventoryFacts& facts, absl::Duration throttle, absl::Time now) {
  v1alpha1::NodeInventoryStatus& status = *facts.object.mutable_status();
  if (facts.inventory != nullptr) {
    CopyInventory(*facts.inventory, status);
    SetPower(facts, now);
  }
  SetLastHeard(status, facts.last_heard, throttle);
  SetOwnership(facts, now);
  status.set_observed_generation(facts.object.metadata().generation());
  if (facts.agent == AgentState::kHeard) {
    Set(facts.object, "InventoryFresh", api::kTrue, "Heard", "", now);
    Set(facts.object, "Ready", api::kTrue, "Ready", "", now);
    SetHealth(facts, now);
    return;
  }
  if (facts.settling) return;
  const bool none = facts.agent == AgentState::kNone;
  const char* reason = none ? "NoAgent" : "AgentSilent";
  const std::string message =
      none ? "no agent runs on the node" : absl::StrCat("the agent is ", facts.agent_detail);
  Set(facts.object, "InventoryFresh", api::kFalse, reason, message, now);
  Set(facts.object, "Ready", api::kFalse, reason, message, now);
  Set(facts.object, "DevicesHealthy", api::kUnknown, reason, message, now);
}

}  // namespace ashlar::controller
