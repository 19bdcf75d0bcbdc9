#include "controller/composition/composition_reconciler.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ashlar/k8s/resource.codec.h"
#include "ashlar/v1alpha1/composition.codec.h"
#include "controller/composition/composition_objects.h"
#include "controller/composition/gang_scheduler.h"
#include "controller/composition/movables.h"
#include "lib/api/conditions.h"
#include "lib/api/kinds.h"
#include "lib/base/status_macros.h"
#include "lib/kube/core_kinds.h"
#include "lib/kube/object.h"

namespace ashlar::controller {

using runtime::Action;
using v1alpha1::ComposedMember;
using v1alpha1::ComposedVolume;
using v1alpha1::Composition;

absl::StatusOr<Action> CompositionReconciler::Reconcile(const CallContext& context,
                                                        const api::ObjectKey& key) {
  const runtime::ObjectPtr object = parts_.sources.compositions.Get(key);
  if (object == nullptr) return Action::AwaitChange();
  ASHLAR_ASSIGN_OR_RETURN(GatheredComposition gathered, gatherer_.Gather(context, *object));
  Pass pass{.context = context,
            .object = object,
            .facts = std::move(gathered.facts),
            .reports = std::move(gathered.reports),
            .nodes = std::move(gathered.nodes),
            .status_before = {}};
  pass.status_before = pass.facts.object.status();
  return Act(pass, DecideComposition(pass.facts, parts_.clock.Now()));
}

CompositionReconciler::Result CompositionReconciler::Act(Pass& pass,
                                                         const CompositionDecision& decision) {
  const absl::Time now = parts_.clock.Now();
  switch (decision.step) {
    case CompositionStep::kNothing:
      return Action::AwaitChange();
    case CompositionStep::kRefuse:
      SetRefused(pass.facts, decision, now);
      LookForMoves(pass, decision);
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
      if (const auto more = TellScheduler(pass)) return *more;
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

void CompositionReconciler::LookForMoves(Pass& pass, const CompositionDecision& decision) {
  Composition& object = pass.facts.object;
  if (decision.reason != "NoRoom") return object.mutable_status()->clear_moves();
  const absl::Time now = parts_.clock.Now();
  std::erase_if(looked_, [&](const auto& one) { return now - one.second > 10 * options_.moves; });
  const auto [at, first] = looked_.try_emplace(object.metadata().uid(), now);
  if (!first && now - at->second < options_.moves) return;
  at->second = now;
  *object.mutable_status()->mutable_moves() = PlanMovesFor(
      pass.facts.stock, object, MovablesOf(parts_.sources, pass.nodes, kube::KeyOf(*pass.object)));
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
  const absl::Status made = parts_.sources.client.Create(pass.context, kind, object).status();
  if (!absl::IsAlreadyExists(made)) return Annotate(made, absl::StrCat(kind.kind, " ", name));
  const auto other = parts_.sources.client.Get(pass.context, kind, kube::KeyOf(object));
  if (!other.ok() || CompositionUidOf(*other) == CompositionUidOf(object)) return absl::OkStatus();
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

std::optional<CompositionReconciler::Result> CompositionReconciler::TellScheduler(Pass& pass) {
  CompositionFacts& facts = pass.facts;
  if (SetScheduler(facts)) {  // known before it is made, so that it is found again
    ASHLAR_RETURN_IF_ERROR(WriteStatus(pass));
    return Action::RequeueAfter(absl::ZeroDuration());
  }
  const v1alpha1::ComposedGangScheduler& scheduler = facts.object.status().gang_scheduler();
  const api::KindInfo* kind = GangKindOf(scheduler.name());
  absl::Status made;
  if (kind != nullptr && facts.made.gang_objects.count(scheduler.object_name()) == 0)
    made = Make(pass, *kind, GangObjectOf(facts.object));
  // The devices are the gang's all the same; it is tried again with the next look.
  const bool refused = absl::IsAlreadyExists(made) || absl::IsNotFound(made) ||
                       absl::IsInvalidArgument(made) || absl::IsPermissionDenied(made);
  if (!made.ok() && !refused) return made;
  SetSchedulerTold(facts, made, parts_.clock.Now());
  return std::nullopt;
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
  const absl::Status deleted = parts_.sources.client.Delete(pass.context, kind, key, {});
  return absl::IsNotFound(deleted) ? absl::OkStatus() : deleted;
}

// What pods name goes first. The API holds it while they use it; the bytes go after it.
CompositionReconciler::Result CompositionReconciler::Release(Pass& pass) {
  const ComposedObjects& made = pass.facts.made;
  const std::string& space = pass.facts.object.metadata().namespace_();
  const api::KindInfo* kind = GangKindOf(pass.facts.object.status().gang_scheduler().name());
  for (const std::string& name : made.gang_objects)
    ASHLAR_RETURN_IF_ERROR(Delete(pass, *kind, {space, name}));
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
  // Not by their bytes: those of maps are in any order.
  if (api::ToJson(object.status()) == api::ToJson(pass.status_before)) return absl::OkStatus();
  const auto written = parts_.writer.UpdateStatus(pass.context, *pass.object, object.status());
  if (absl::IsNotFound(written.status())) return absl::OkStatus();  // deleted meanwhile
  ASHLAR_RETURN_IF_ERROR(written.status());
  const k8s::Condition* degraded = api::FindCondition(object.status().conditions(), "Degraded");
  if (degraded != nullptr && degraded->status() == api::kTrue &&
      !api::IsConditionTrue(pass.status_before.conditions(), "Degraded"))
    parts_.events.Publish(EventSink::Type::kWarning, *pass.object, "Degraded", degraded->message());
  const k8s::Condition* ready = api::FindCondition(object.status().conditions(), "Ready");
  const k8s::Condition* before = api::FindCondition(pass.status_before.conditions(), "Ready");
  if (ready == nullptr || ready->message().empty() || ready->reason() == "Carving" ||
      (before != nullptr && before->reason() == ready->reason()))
    return absl::OkStatus();
  parts_.events.Publish(EventSink::Type::kWarning, *pass.object, ready->reason(), ready->message());
  return absl::OkStatus();
}

}  // namespace ashlar::controller
