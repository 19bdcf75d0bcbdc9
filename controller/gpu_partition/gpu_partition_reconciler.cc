#include "controller/gpu_partition/gpu_partition_reconciler.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "ashlar/k8s/resource.codec.h"
#include "ashlar/v1alpha1/gpu_partition.codec.h"
#include "controller/composition/composition_gatherer.h"
#include "controller/pool/pool_selection.h"
#include "lib/api/conditions.h"
#include "lib/api/kinds.h"
#include "lib/api/selectors.h"
#include "lib/base/status_macros.h"
#include "lib/kube/object.h"

namespace ashlar::controller {

using runtime::Action;
using v1alpha1::GPUPartition;

absl::StatusOr<Action> GpuPartitionReconciler::Reconcile(const CallContext& context,
                                                         const api::ObjectKey& key) {
  Pass pass{.context = context, .object = parts_.gpu_partitions.Get(key)};
  if (pass.object == nullptr) return Action::AwaitChange();
  if (parts_.claims == nullptr) {
    ASHLAR_ASSIGN_OR_RETURN(pass.facts.object, api::FromJson<GPUPartition>(*pass.object));
    pass.status_before = pass.facts.object.status();
    return Refuse(
        pass, "NoResourceClaims",
        "no claim can be made: the API server does not serve resource.k8s.io/v1, or dra is off");
  }
  ASHLAR_RETURN_IF_ERROR(Gather(pass, key));
  return Act(pass, DecideGpuPartition(pass.facts));
}

absl::Status GpuPartitionReconciler::Gather(Pass& pass, const api::ObjectKey& key) const {
  GpuPartitionFacts& facts = pass.facts;
  ASHLAR_ASSIGN_OR_RETURN(facts.object, api::FromJson<GPUPartition>(*pass.object));
  pass.status_before = facts.object.status();
  if (const runtime::ObjectPtr claim = parts_.claims->Get(key)) {
    ASHLAR_ASSIGN_OR_RETURN(facts.claim, api::FromJson<k8s::ResourceClaim>(*claim));
  }
  for (const runtime::ObjectPtr& other : parts_.gpu_partitions.List()) {
    if (kube::KeyOf(*other) == key) continue;
    const absl::StatusOr<GPUPartition> partition = api::FromJson<GPUPartition>(*other);
    if (!partition.ok()) continue;  // its own pass says so; of its places their claims tell
    const auto& parts = partition->status().allocations();
    facts.promised.insert(facts.promised.end(), parts.begin(), parts.end());
    facts.promised_by.resize(
        facts.promised.size(),
        absl::StrCat(partition->metadata().namespace_(), "/", partition->metadata().name()));
  }
  const auto composed = PartsOfCompositions(parts_.compositions, {});
  facts.promised.insert(facts.promised.end(), composed.begin(), composed.end());
  return GatherNodes(pass);
}

absl::Status GpuPartitionReconciler::GatherNodes(Pass& pass) const {
  ASHLAR_ASSIGN_OR_RETURN(const api::LabelSelector selector,
                          api::LabelSelector::Make(pass.facts.object.spec().node_selector()));
  for (const runtime::ObjectPtr& inventory : parts_.node_inventories.List()) {
    if (JsonString(*inventory, {"spec", "gpuOwnership"}) != "Manage") continue;
    GpuNodeFacts facts{.name = kube::KeyOf(*inventory).name};
    const runtime::ObjectPtr node = parts_.nodes.Get({"", facts.name});
    const Json* labels = node == nullptr ? nullptr : FindJson(*node, {"metadata", "labels"});
    if (!selector.Matches(labels == nullptr ? Json() : *labels)) continue;
    facts.power_budget_watts = PowerBudgetOf(*inventory);
    const AgentView agent = parts_.agents.View(facts.name);
    if (agent.report != nullptr) {
      facts.inventory = &agent.report->inventory();
      pass.reports.push_back(agent.report);
    }
    if (agent.state != AgentState::kHeard)
      facts.problem = "its agent says nothing";
    else if (IsCordoned(node.get()))
      facts.problem = "it is cordoned";
    else if (HasOwnershipConflict(*inventory))
      facts.problem = "somebody else hands out its GPUs too (OwnershipConflict)";
    pass.facts.nodes.push_back(std::move(facts));
  }
  return absl::OkStatus();
}

GpuPartitionReconciler::Result GpuPartitionReconciler::Act(Pass& pass,
                                                           const GpuPartitionDecision& decision) {
  const absl::Time now = parts_.clock.Now();
  switch (decision.step) {
    case GpuPartitionStep::kNothing:
      return Action::AwaitChange();
    case GpuPartitionStep::kRefuse:
      return Refuse(pass, decision.reason, decision.message);
    case GpuPartitionStep::kChoose:
      SetPartsChosen(pass.facts.object, decision.allocations, now);
      ASHLAR_RETURN_IF_ERROR(WriteStatus(pass));
      return MakeClaim(pass);
    case GpuPartitionStep::kMakeClaim:
      return MakeClaim(pass);
    case GpuPartitionStep::kDropClaim:
      return DropClaim(pass);
    case GpuPartitionStep::kObserve:
      SetPartsObserved(pass.facts, now);
      ASHLAR_RETURN_IF_ERROR(WriteStatus(pass));
      return Action::RequeueAfter(options_.look);
  }
  return absl::InternalError("a step without an action");
}

GpuPartitionReconciler::Result GpuPartitionReconciler::Refuse(Pass& pass, const std::string& reason,
                                                              const std::string& message) {
  SetPartsRefused(pass.facts.object, reason, message, parts_.clock.Now());
  ASHLAR_RETURN_IF_ERROR(WriteStatus(pass));
  return Action::RequeueAfter(options_.look);
}

GpuPartitionReconciler::Result GpuPartitionReconciler::MakeClaim(Pass& pass) {
  const absl::StatusOr<Json> made = parts_.client.Create(
      pass.context, api::Kind<k8s::ResourceClaim>(), ClaimOf(pass.facts.object));
  if (!absl::IsAlreadyExists(made.status())) ASHLAR_RETURN_IF_ERROR(made.status());
  return Action::RequeueAfter(options_.look);
}

// Nobody uses it, and somebody else has the place.
GpuPartitionReconciler::Result GpuPartitionReconciler::DropClaim(Pass& pass) {
  const k8s::ObjectMeta& claim = pass.facts.claim->metadata();
  // Not if it has come into use meanwhile.
  const absl::Status gone = parts_.client.Delete(
      pass.context, api::Kind<k8s::ResourceClaim>(), {claim.namespace_(), claim.name()},
      {.uid = claim.uid(), .resource_version = claim.resource_version()});
  if (!gone.ok() && !absl::IsNotFound(gone)) return gone;
  SetPartsRefused(pass.facts.object, "PlaceTaken",
                  "the place that was chosen is somebody else's now; another one is looked for",
                  parts_.clock.Now());
  ASHLAR_RETURN_IF_ERROR(WriteStatus(pass));
  return Action::RequeueAfter(absl::ZeroDuration());
}

absl::Status GpuPartitionReconciler::WriteStatus(Pass& pass) {
  const GPUPartition& object = pass.facts.object;
  if (object.status().SerializeAsString() == pass.status_before.SerializeAsString())
    return absl::OkStatus();
  const auto written = parts_.writer.UpdateStatus(pass.context, *pass.object, object.status());
  if (absl::IsNotFound(written.status())) return absl::OkStatus();  // deleted meanwhile
  ASHLAR_RETURN_IF_ERROR(written.status());
  for (const char* type : {"Allocated", "ReconfigurationBlocked"}) {
    const k8s::Condition* now = api::FindCondition(object.status().conditions(), type);
    const k8s::Condition* before = api::FindCondition(pass.status_before.conditions(), type);
    const bool bad = now != nullptr && now->status() == (type[0] == 'A' ? api::kFalse : api::kTrue);
    if (bad && (before == nullptr || before->reason() != now->reason()))
      parts_.events.Publish(EventSink::Type::kWarning, *pass.object, now->reason(), now->message());
  }
  return absl::OkStatus();
}

}  // namespace ashlar::controller
