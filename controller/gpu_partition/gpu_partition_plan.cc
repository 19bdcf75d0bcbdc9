#include "controller/gpu_partition/gpu_partition_plan.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "controller/claims/gpu_part_config.h"
#include "controller/dra_names/device_names.h"
#include "controller/gpu_partition/power_budget.h"
#include "lib/api/conditions.h"

namespace ashlar::controller {
namespace {

using v1alpha1::GPUPartition;
using v1alpha1::GPUPartitionAllocation;

constexpr int64_t kKeepSeconds = 600;  // as the API says

void Set(GPUPartition& object, absl::string_view type, absl::string_view status,
         absl::string_view reason, absl::string_view message, absl::Time now) {
  const int64_t generation = object.metadata().generation();
  api::SetCondition(*object.mutable_status()->mutable_conditions(),
                    {type, status, reason, message, generation}, now);
  object.mutable_status()->set_observed_generation(generation);
}

bool IsOurs(const k8s::ResourceClaim& claim, const GPUPartition& object) {
  const auto& owners = claim.metadata().owner_references();
  return std::any_of(owners.begin(), owners.end(),
                     [&](const auto& owner) { return owner.uid() == object.metadata().uid(); });
}

bool IsUsed(const k8s::ResourceClaim& claim) {
  return claim.status().has_allocation() || !claim.status().reserved_for().empty();
}

const GpuNodeFacts* FindNode(const GpuPartitionFacts& facts, const std::string& name) {
  for (const GpuNodeFacts& node : facts.nodes)
    if (node.name == name) return &node;
  return nullptr;
}

// What an agent says of the part: nullptr if nothing.
const agent::v1::GpuPartitionState* FindPart(const agent::v1::Inventory& inventory,
                                             const GPUPartitionAllocation& part,
                                             const std::string& claim) {
  for (const agent::v1::GpuPartitionState& state : inventory.gpu_partitions())
    if (state.claim() == claim && state.gpu() == part.gpu() && state.start() == part.start() &&
        state.profile() == part.profile())
      return &state;
  return nullptr;
}

// The word before the colon of "InUse: ...", or `otherwise`.
std::string ReasonOf(const std::string& problem, const std::string& otherwise) {
  const std::string word = problem.substr(0, problem.find(':'));
  const bool camel = !word.empty() && absl::ascii_isupper(word[0]) &&
                     word.size() < problem.size() &&
                     std::all_of(word.begin(), word.end(), absl::ascii_isalnum);
  return camel ? word : otherwise;
}

std::string GpuTrouble(const agent::v1::Inventory& inventory, const GPUPartitionAllocation& part) {
  if (inventory.gpu_driver().state() != "Ready")
    return absl::StrCat("the driver of node ", part.node(), " is ", inventory.gpu_driver().state(),
                        ": ", inventory.gpu_driver().message());
  for (const v1alpha1::Gpu& gpu : inventory.gpus()) {
    if (gpu.uuid() != part.gpu()) continue;
    if (!gpu.health().problem().empty())
      return absl::StrCat(part.gpu(), ": ", gpu.health().problem());
    const std::string& action = gpu.health().recovery_action();
    if (!action.empty() && action != "None")
      return absl::StrCat(part.gpu(), ": its driver asks for ", action);
    return "";
  }
  return absl::StrCat(part.gpu(), " is not on node ", part.node(), " any more");
}

}  // namespace

GpuPartitionDecision DecideGpuPartition(const GpuPartitionFacts& facts) {
  const GPUPartition& object = facts.object;
  if (object.metadata().has_deletion_timestamp()) return {};
  if (facts.claim && !IsOurs(*facts.claim, object))
    return {GpuPartitionStep::kRefuse,
            "ClaimNameTaken",
            absl::StrCat("ResourceClaim ", object.metadata().name(),
                         " is somebody else's; delete it, or take another name"),
            {}};
  const auto& parts = object.status().allocations();
  if (facts.claim && IsUsed(*facts.claim)) return {GpuPartitionStep::kObserve, "", "", {}};
  std::set<std::string> own;
  if (facts.claim) own.insert(facts.claim->metadata().uid());
  const GpuStock stock = StockOf(facts.nodes, facts.promised, own);
  const bool free =
      !parts.empty() && std::all_of(parts.begin(), parts.end(), [&](const auto& part) {
        // Of a node that says nothing, nobody knows better.
        const GpuNodeFacts* node = FindNode(facts, part.node());
        return (node != nullptr && node->inventory == nullptr) || IsFree(stock.inventory, part);
      });
  if (facts.claim)
    return {free ? GpuPartitionStep::kObserve : GpuPartitionStep::kDropClaim, "", "", {}};
  if (free) return {GpuPartitionStep::kMakeClaim, "", "", {}};
  PartChoice choice = ChoosePartsWithin(stock, object.spec(), facts.nodes,
                                        {facts.promised, facts.promised_by}, own);
  if (auto* none = std::get_if<NoParts>(&choice))
    return {GpuPartitionStep::kRefuse, none->reason, none->message, {}};
  return {GpuPartitionStep::kChoose, "", "",
          std::get<std::vector<GPUPartitionAllocation>>(std::move(choice))};
}

Json ClaimOf(const GPUPartition& object) {
  const k8s::ObjectMeta& meta = object.metadata();
  Json requests = Json::array();
  for (const GPUPartitionAllocation& part : object.status().allocations())
    requests.push_back(
        {{"name", part.request()},
         {"exactly",
          {{"deviceClassName", kGpuDriver},
           {"allocationMode", "ExactCount"},
           {"count", 1},
           {"selectors",
            Json::array({{{"cel",
                           {{"expression", SelectGpuPart(part.gpu(), part.profile(), part.start(),
                                                         part.size())}}}}})}}}});
  Json devices = {{"requests", requests}};
  GpuPartConfig config;
  config.power_watts = object.spec().power_limit_watts();
  if (object.spec().reclaim_policy() == "KeepIdle")
    config.keep_seconds =
        object.spec().has_idle_ttl_seconds() ? object.spec().idle_ttl_seconds() : kKeepSeconds;
  if (config.keep_seconds > 0 || config.power_watts > 0) {
    devices["config"] =
        Json::array({{{"opaque", {{"driver", kGpuDriver}, {"parameters", ToJson(config)}}}}});
  }
  return {{"apiVersion", "resource.k8s.io/v1"},
          {"kind", "ResourceClaim"},
          {"metadata",
           {{"name", meta.name()},
            {"namespace", meta.namespace_()},
            {"ownerReferences", Json::array({{{"apiVersion", "ashlar.dev/v1alpha1"},
                                              {"kind", "GPUPartition"},
                                              {"name", meta.name()},
                                              {"uid", meta.uid()},
                                              {"controller", true}}})}}},
          {"spec", {{"devices", devices}}}};
}

void SetPartsRefused(GPUPartition& object, const std::string& reason, const std::string& message,
                     absl::Time now) {
  const bool wrong =
      reason == "NoSuchProfile" || reason == "ClaimNameTaken" || reason == "PowerLimitOutOfRange";
  object.mutable_status()->clear_allocations();
  object.mutable_status()->clear_resource_claim_name();
  Set(object, "Accepted", wrong ? api::kFalse : api::kTrue, wrong ? reason : "Valid",
      wrong ? message : "", now);
  Set(object, "Allocated", api::kFalse, reason, message, now);
  Set(object, "Prepared", api::kFalse, "NotAllocated", "", now);
}

void SetPartsChosen(GPUPartition& object, const std::vector<GPUPartitionAllocation>& allocations,
                    absl::Time now) {
  object.mutable_status()->mutable_allocations()->Assign(allocations.begin(), allocations.end());
  object.mutable_status()->set_resource_claim_name(object.metadata().name());
  Set(object, "Accepted", api::kTrue, "Valid", "", now);
  Set(object, "Allocated", api::kTrue, "Chosen", absl::StrCat("on node ", allocations.at(0).node()),
      now);
  Set(object, "Prepared", api::kFalse, "NotUsed", "no pod that uses the claim has started", now);
}

void SetPartsObserved(GpuPartitionFacts& facts, absl::Time now) {
  GPUPartition& object = facts.object;
  int made = 0;
  std::string blocked, trouble;
  bool silent = false;
  for (GPUPartitionAllocation& part : *object.mutable_status()->mutable_allocations()) {
    const GpuNodeFacts* node = FindNode(facts, part.node());
    part.clear_mig_uuid();
    silent = silent || node == nullptr || node->inventory == nullptr;
    if (node == nullptr || node->inventory == nullptr) continue;
    if (const std::string text = GpuTrouble(*node->inventory, part); trouble.empty())
      trouble = text;
    const agent::v1::GpuPartitionState* state =
        FindPart(*node->inventory, part, facts.claim->metadata().uid());
    if (state == nullptr) continue;
    if (blocked.empty()) blocked = state->problem();
    if (!state->problem().empty()) continue;
    part.set_mig_uuid(state->mig_device());
    ++made;
  }
  const int all = object.status().allocations_size();
  if (!blocked.empty())
    Set(object, "Prepared", api::kFalse, ReasonOf(blocked, "Blocked"), blocked, now);
  else if (made == all && all > 0)
    Set(object, "Prepared", api::kTrue, "Made", "", now);
  else
    Set(object, "Prepared", api::kFalse, "NotUsed", "no pod that uses the claim has started", now);
  Set(object, "ReconfigurationBlocked", blocked.empty() ? api::kFalse : api::kTrue,
      blocked.empty() ? "NotBlocked" : ReasonOf(blocked, "Blocked"), blocked, now);
  if (silent)
    Set(object, "Healthy", api::kUnknown, "AgentSilent", "the node's agent says nothing", now);
  else
    Set(object, "Healthy", trouble.empty() ? api::kTrue : api::kFalse,
        trouble.empty() ? "Healthy" : "GpuProblem", trouble, now);
}

}  // namespace ashlar::controller
