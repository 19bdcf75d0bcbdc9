#include "controller/composition/composition_reconciler.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ashlar/k8s/resource.codec.h"
#include "ashlar/v1alpha1/composition.codec.h"
#include "ashlar/v1alpha1/gpu_partition.codec.h"
#include "controller/composition/composition_objects.h"
#include "controller/composition/gang_choice.h"
#include "controller/dra_names/device_names.h"
#include "controller/pool/pool_selection.h"
#include "lib/api/conditions.h"
#include "lib/api/kinds.h"
#include "lib/api/selectors.h"
#include "lib/base/status_macros.h"
#include "lib/kube/core_kinds.h"
#include "lib/kube/object.h"

namespace ashlar::controller {

using runtime::Action;
using v1alpha1::ComposedMember;
using v1alpha1::ComposedVolume;
using v1alpha1::Composition;
using v1alpha1::GPUPartitionAllocation;

namespace {

std::map<std::string, std::string> LabelsOf(const Json* labels) {
  std::map<std::string, std::string> out;
  if (labels == nullptr || !labels->is_object()) return out;
  for (const auto& [key, value] : labels->items())
    if (value.is_string()) out[key] = value.get<std::string>();
  return out;
}

std::string UidLabelOf(const Json& object) {
  return JsonString(object, {"metadata", "labels", kCompositionUidLabel});
}

// Devices of gpu.ashlar.dev that the claim has, with their nodes.
std::vector<std::pair<std::string, std::string>> GpusOf(const Json& claim) {
  std::vector<std::pair<std::string, std::string>> devices;
  const Json* results = FindJson(claim, {"status", "allocation", "devices", "results"});
  if (results == nullptr || !results->is_array()) return devices;
  for (const Json& result : *results)
    if (JsonString(result, {"driver"}) == kGpuDriver)
      devices.emplace_back(JsonString(result, {"pool"}), JsonString(result, {"device"}));
  return devices;
}

}  // namespace

std::vector<GPUPartitionAllocation> PartsOfCompositions(const runtime::Cache& compositions,
                                                        const api::ObjectKey& own) {
  std::vector<GPUPartitionAllocation> parts;
  for (const runtime::ObjectPtr& object : compositions.List()) {
    if (kube::KeyOf(*object) == own) continue;
    const auto composition = api::FromJson<Composition>(*object);
    if (!composition.ok()) continue;  // it has chosen nothing
    for (const ComposedMember& member : composition->status().members())
      for (const v1alpha1::ComposedGPU& gpu : member.gpus()) {
        GPUPartitionAllocation& part = parts.emplace_back();
        part.set_node(member.node());
        part.set_gpu(gpu.gpu());
        part.set_profile(gpu.profile());
        part.set_start(gpu.start());
        part.set_size(gpu.size());
      }
  }
  return parts;
}

absl::StatusOr<Action> CompositionReconciler::Reconcile(const CallContext& context,
                                                        const api::ObjectKey& key) {
  Pass pass{.context = context, .object = parts_.compositions.Get(key)};
  if (pass.object == nullptr) return Action::AwaitChange();
  ASHLAR_RETURN_IF_ERROR(Gather(pass));
  return Act(pass, DecideComposition(pass.facts, parts_.clock.Now()));
}

absl::Status CompositionReconciler::Gather(Pass& pass) const {
  CompositionFacts& facts = pass.facts;
  ASHLAR_ASSIGN_OR_RETURN(facts.object, api::FromJson<Composition>(*pass.object));
  pass.status_before = facts.object.status();
  facts.has_finalizer = HasAgentFinalizer(*pass.object);
  facts.serves_claims = parts_.claims != nullptr;
  const std::string& its_class = facts.object.spec().class_name();
  if (!its_class.empty()) {
    const runtime::ObjectPtr found = parts_.classes.Get({"", its_class});
    facts.class_missing = found == nullptr;
    if (found != nullptr) {
      ASHLAR_ASSIGN_OR_RETURN(const auto read, api::FromJson<v1alpha1::CompositionClass>(*found));
      facts.its_class = read.spec();
    }
  }
  *facts.object.mutable_spec() = WithClass(facts.object.spec(), facts.its_class);
  ASHLAR_RETURN_IF_ERROR(GatherMade(pass));
  return GatherStock(pass);
}

absl::Status CompositionReconciler::GatherMade(Pass& pass) const {
  ComposedObjects& made = pass.facts.made;
  // Nothing is made before the finalizer is there.
  if (!pass.facts.has_finalizer) return absl::OkStatus();
  const std::string& uid = pass.facts.object.metadata().uid();
  for (const runtime::ObjectPtr& object : parts_.volumes.List()) {
    if (UidLabelOf(*object) != uid) continue;
    ASHLAR_ASSIGN_OR_RETURN(made.volumes[kube::KeyOf(*object).name],
                            api::FromJson<v1alpha1::Volume>(*object));
  }
  if (parts_.claims != nullptr)
    for (const runtime::ObjectPtr& object : parts_.claims->List()) {
      if (UidLabelOf(*object) != uid) continue;
      ASHLAR_ASSIGN_OR_RETURN(made.claims[kube::KeyOf(*object).name],
                              api::FromJson<k8s::ResourceClaim>(*object));
    }
  ASHLAR_RETURN_IF_ERROR(GatherNamed(pass, kube::kPersistentVolume, made.persistent_volumes));
  ASHLAR_RETURN_IF_ERROR(GatherNamed(pass, kube::kPersistentVolumeClaim, made.volume_claims));
  return GatherNamed(pass, kube::kConfigMap, made.config_maps);
}

absl::Status CompositionReconciler::GatherNamed(Pass& pass, const api::KindInfo& kind,
                                                std::set<std::string>& names) const {
  const k8s::ObjectMeta& meta = pass.facts.object.metadata();
  const auto list =
      parts_.client.List(pass.context, kind,
                         {.space = kind.namespaced ? meta.namespace_() : "",
                          .label_selector = absl::StrCat(kCompositionUidLabel, "=", meta.uid())});
  if (absl::IsNotFound(list.status())) return absl::OkStatus();  // the kind is not served
  ASHLAR_RETURN_IF_ERROR(list.status());
  for (const Json& item : list->items) names.insert(kube::KeyOf(item).name);
  return absl::OkStatus();
}

absl::Status CompositionReconciler::GatherStock(Pass& pass) const {
  CompositionFacts& facts = pass.facts;
  const api::ObjectKey own = kube::KeyOf(*pass.object);
  ASHLAR_ASSIGN_OR_RETURN(const std::vector<ComposableNode> nodes, GatherNodes(pass));
  std::set<std::string> own_claims;
  for (const auto& [name, claim] : facts.made.claims) own_claims.insert(claim.metadata().uid());
  if (facts.object.status().members().empty())
    facts.stock = StockOf(nodes, PromisedParts(own), PromisedToOthers(own), own_claims);
  else
    facts.stock = StockOf(nodes, {}, {}, own_claims);
  return absl::OkStatus();
}

absl::StatusOr<std::vector<ComposableNode>> CompositionReconciler::GatherNodes(Pass& pass) const {
  const CompositionFacts& facts = pass.facts;
  ASHLAR_ASSIGN_OR_RETURN(const api::LabelSelector wanted,
                          api::LabelSelector::Make(facts.object.spec().node_selector()));
  ASHLAR_ASSIGN_OR_RETURN(const api::LabelSelector allowed,
                          api::LabelSelector::Make(facts.its_class.node_selector()));
  std::map<std::string, std::vector<std::string>> held;  // by node
  if (parts_.claims != nullptr)
    for (const runtime::ObjectPtr& claim : parts_.claims->List()) {
      if (UidLabelOf(*claim) == facts.object.metadata().uid()) continue;
      for (auto& [node, device] : GpusOf(*claim)) held[node].push_back(std::move(device));
    }
  std::vector<ComposableNode> nodes;
  for (const runtime::ObjectPtr& inventory : parts_.node_inventories.List()) {
    ComposableNode& node = nodes.emplace_back();
    node.facts.name = kube::KeyOf(*inventory).name;
    const runtime::ObjectPtr object = parts_.nodes.Get({"", node.facts.name});
    const Json* labels = object == nullptr ? nullptr : FindJson(*object, {"metadata", "labels"});
    const Json selected = labels == nullptr ? Json() : *labels;
    if (!wanted.Matches(selected) || !allowed.Matches(selected)) {
      nodes.pop_back();
      continue;
    }
    node.labels = LabelsOf(labels);
    node.facts.held = held[node.facts.name];
    const AgentView agent = parts_.agents.View(node.facts.name);
    if (agent.report != nullptr) {
      node.facts.inventory = &agent.report->inventory();
      pass.reports.push_back(agent.report);
    }
    node.gives_gpus = JsonString(*inventory, {"spec", "gpuOwnership"}) == "Manage" &&
                      !HasOwnershipConflict(*inventory);
    if (agent.state != AgentState::kHeard)
      node.facts.problem = "its agent says nothing";
    else if (IsCordoned(object.get()))
      node.facts.problem = "it is cordoned";
  }
  return nodes;
}

std::vector<GPUPartitionAllocation> CompositionReconciler::PromisedParts(
    const api::ObjectKey& own) const {
  std::vector<GPUPartitionAllocation> parts = PartsOfCompositions(parts_.compositions, own);
  for (const runtime::ObjectPtr& object : parts_.gpu_partitions.List()) {
    const auto partition = api::FromJson<v1alpha1::GPUPartition>(*object);
    if (!partition.ok()) continue;
    const auto& chosen = partition->status().allocations();
    parts.insert(parts.end(), chosen.begin(), chosen.end());
  }
  return parts;
}

std::vector<PromisedBytes> CompositionReconciler::PromisedToOthers(
    const api::ObjectKey& own) const {
  std::vector<PromisedBytes> promised;
  for (const runtime::ObjectPtr& object : parts_.volumes.List()) {
    const auto volume = api::FromJson<v1alpha1::Volume>(*object);
    if (!volume.ok() || volume->spec().node_name().empty()) continue;
    const v1alpha1::VolumeSpec& spec = volume->spec();
    promised.push_back({volume->metadata().name(), spec.node_name(), spec.pool(), spec.drive(),
                        RoundedVolumeBytes(spec.size())});
  }
  for (const runtime::ObjectPtr& object : parts_.compositions.List()) {
    const auto composition = api::FromJson<Composition>(*object);
    if (!composition.ok() || kube::KeyOf(*object) == own) continue;
    for (const ComposedMember& member : composition->status().members())
      for (const ComposedVolume& volume : member.volumes())
        if (parts_.volumes.Get({"", volume.volume()}) == nullptr)
          promised.push_back(
              {volume.volume(), member.node(), volume.pool(), volume.drive(), volume.bytes()});
  }
  return promised;
}

CompositionReconciler::Result CompositionReconciler::Act(Pass& pass,
                                                         const CompositionDecision& decision) {
  const absl::Time now = parts_.clock.Now();
  switch (decision.step) {
    case CompositionStep::kNothing:
      return Action::AwaitChange();
    case CompositionStep::kRefuse:
      SetRefused(pass.facts, decision, now);
      ASHLAR_RETURN_IF_ERROR(WriteStatus(pass));
      return Action::RequeueAfter(options_.look);
    case CompositionStep::kTakeFinalizer:
      ASHLAR_RETURN_IF_ERROR(
          parts_.writer.UpdateOwned(pass.context, *pass.object, Json()).status());
      return Action::RequeueAfter(absl::ZeroDuration());
    case CompositionStep::kChoose:
      SetChosen(pass.facts, decision, now);
      ASHLAR_RETURN_IF_ERROR(WriteStatus(pass));
      return Action::RequeueAfter(absl::ZeroDuration());
    case CompositionStep::kCarve:
      return Carve(pass);
    case CompositionStep::kProvision:
      return Provision(pass);
    case CompositionStep::kObserve: {
      SetObserved(pass.facts, now);
      ASHLAR_RETURN_IF_ERROR(WriteStatus(pass));
      const v1alpha1::CompositionStatus& status = pass.facts.object.status();
      const absl::Time until = absl::FromUnixSeconds(status.reserved_until().seconds());
      return Action::RequeueAfter(status.has_reserved_until()
                                      ? std::clamp(until - now, absl::ZeroDuration(), options_.look)
                                      : options_.look);
    }
    case CompositionStep::kBeginRelease:
      SetReleasing(pass.facts, decision, now);
      ASHLAR_RETURN_IF_ERROR(WriteStatus(pass));
      return Action::RequeueAfter(absl::ZeroDuration());
    case CompositionStep::kRelease:
      return Release(pass);
    case CompositionStep::kEndRelease:
      return EndRelease(pass);
    case CompositionStep::kDropFinalizer:
      ASHLAR_RETURN_IF_ERROR(parts_.writer.RemoveFinalizer(pass.context, *pass.object));
      return Action::AwaitChange();
  }
  return absl::InternalError("a step without an action");
}

CompositionReconciler::Result CompositionReconciler::Carve(Pass& pass) {
  const Composition& object = pass.facts.object;
  for (const ComposedMember& member : object.status().members())
    for (const ComposedVolume& volume : member.volumes()) {
      if (pass.facts.made.volumes.count(volume.volume()) > 0) continue;
      const auto made = parts_.volume_writer.Create(pass.context, VolumeOf(object, member, volume));
      // The cache is behind: the next pass sees it.
      if (!made.ok() && !absl::IsAlreadyExists(made.status())) return made.status();
    }
  SetCarving(pass.facts, parts_.clock.Now());
  ASHLAR_RETURN_IF_ERROR(WriteStatus(pass));
  return Action::RequeueAfter(options_.look);  // volumes tell when they are carved
}

absl::Status CompositionReconciler::Make(Pass& pass, const api::KindInfo& kind,
                                         const Json& object) {
  const std::string name = kube::KeyOf(object).name;
  const absl::Status made = parts_.client.Create(pass.context, kind, object).status();
  if (!absl::IsAlreadyExists(made)) return Annotate(made, absl::StrCat(kind.kind, " ", name));
  const auto other = parts_.client.Get(pass.context, kind, kube::KeyOf(object));
  if (!other.ok() || UidLabelOf(*other) == UidLabelOf(object)) return absl::OkStatus();
  return absl::AlreadyExistsError(
      absl::StrCat(kind.kind, " ", name,
                   " is somebody else's; delete it, or give the Composition another name"));
}

absl::Status CompositionReconciler::MakeAll(Pass& pass) {
  const Composition& object = pass.facts.object;
  const ComposedObjects& made = pass.facts.made;
  for (const ComposedMember& member : object.status().members()) {
    for (const ComposedVolume& volume : member.volumes()) {
      if (made.persistent_volumes.count(volume.volume()) == 0)
        ASHLAR_RETURN_IF_ERROR(
            Make(pass, kube::kPersistentVolume, PersistentVolumeOf(object, member, volume)));
      if (made.volume_claims.count(volume.claim_name()) == 0)
        ASHLAR_RETURN_IF_ERROR(
            Make(pass, kube::kPersistentVolumeClaim, VolumeClaimOf(object, member, volume)));
    }
    if (!member.gpus().empty() && made.claims.count(member.resource_claim_name()) == 0)
      ASHLAR_RETURN_IF_ERROR(
          Make(pass, api::Kind<k8s::ResourceClaim>(), ResourceClaimOf(object, member)));
  }
  if (made.config_maps.count(object.status().config_map_name()) > 0) return absl::OkStatus();
  return Make(pass, kube::kConfigMap, ConfigMapOf(object));
}

CompositionReconciler::Result CompositionReconciler::Provision(Pass& pass) {
  const absl::Status made = MakeAll(pass);
  const absl::Time now = parts_.clock.Now();
  if (absl::IsAlreadyExists(made))
    SetProvisioning(pass.facts, "NameTaken", std::string(made.message()), now);
  else if (absl::IsNotFound(made))
    SetProvisioning(pass.facts, "KindMissing",
                    absl::StrCat("the API server does not take it: ", std::string(made.message())),
                    now);
  else if (!made.ok())
    return made;
  else
    SetProvisioning(pass.facts, "Provisioning", "claims are being made", now);
  ASHLAR_RETURN_IF_ERROR(WriteStatus(pass));
  return Action::RequeueAfter(made.ok() ? absl::ZeroDuration() : options_.look);
}

absl::Status CompositionReconciler::Delete(Pass& pass, const api::KindInfo& kind,
                                           const api::ObjectKey& key) {
  const absl::Status deleted = parts_.client.Delete(pass.context, kind, key, {});
  return absl::IsNotFound(deleted) ? absl::OkStatus() : deleted;
}

// What pods name goes first. The API holds it while they use it; the bytes go after it.
CompositionReconciler::Result CompositionReconciler::Release(Pass& pass) {
  const ComposedObjects& made = pass.facts.made;
  const std::string& space = pass.facts.object.metadata().namespace_();
  for (const std::string& name : made.config_maps)
    ASHLAR_RETURN_IF_ERROR(Delete(pass, kube::kConfigMap, {space, name}));
  for (const std::string& name : made.volume_claims)
    ASHLAR_RETURN_IF_ERROR(Delete(pass, kube::kPersistentVolumeClaim, {space, name}));
  for (const auto& [name, claim] : made.claims)
    if (!claim.metadata().has_deletion_timestamp())
      ASHLAR_RETURN_IF_ERROR(Delete(pass, api::Kind<k8s::ResourceClaim>(), {space, name}));
  if (!made.volume_claims.empty()) return Action::RequeueAfter(options_.soon);
  for (const std::string& name : made.persistent_volumes)
    ASHLAR_RETURN_IF_ERROR(Delete(pass, kube::kPersistentVolume, {"", name}));
  if (!made.persistent_volumes.empty()) return Action::RequeueAfter(options_.soon);
  for (const auto& [name, volume] : made.volumes)
    if (!volume.metadata().has_deletion_timestamp() &&
        !api::IsConditionTrue(volume.status().conditions(), "Published"))
      ASHLAR_RETURN_IF_ERROR(Delete(pass, api::Kind<v1alpha1::Volume>(), {"", name}));
  return Action::RequeueAfter(options_.soon);
}

CompositionReconciler::Result CompositionReconciler::EndRelease(Pass& pass) {
  SetReleased(pass.facts, parts_.clock.Now());
  ASHLAR_RETURN_IF_ERROR(WriteStatus(pass));
  if (api::IsConditionTrue(pass.facts.object.status().conditions(), "Released"))
    return Action::AwaitChange();
  return Action::RequeueAfter(options_.soon);  // agents tell of what has become free
}

absl::Status CompositionReconciler::WriteStatus(Pass& pass) {
  const Composition& object = pass.facts.object;
  if (object.status().SerializeAsString() == pass.status_before.SerializeAsString())
    return absl::OkStatus();
  const auto written =
      parts_.writer.UpdateStatus(pass.context, *pass.object, api::ToJson(object.status()));
  if (absl::IsNotFound(written.status())) return absl::OkStatus();  // deleted meanwhile
  ASHLAR_RETURN_IF_ERROR(written.status());
  const k8s::Condition* ready = api::FindCondition(object.status().conditions(), "Ready");
  const k8s::Condition* before = api::FindCondition(pass.status_before.conditions(), "Ready");
  if (ready == nullptr || ready->message().empty() || ready->reason() == "Carving" ||
      (before != nullptr && before->reason() == ready->reason()))
    return absl::OkStatus();
  parts_.events.Publish(EventSink::Type::kWarning, *pass.object, ready->reason(), ready->message());
  return absl::OkStatus();
}

}  // namespace ashlar::controller
