#include "controller/volume/volume_reconciler.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "controller/objects/transitions.h"
#include "controller/volume/volume_attributes.h"
#include "controller/volume/volume_locality.h"
#include "lib/api/conditions.h"
#include "lib/api/kinds.h"
#include "lib/base/log.h"
#include "lib/base/status_macros.h"
#include "lib/kube/request_id.h"

namespace ashlar::controller {

using runtime::Action;
using v1alpha1::Volume;

namespace {

// How soon a volume tries again whose node has all its calls under way, if nobody wakes it.
constexpr absl::Duration kBusyRetry = absl::Seconds(1);

}  // namespace

VolumeReconciler::VolumeReconciler(VolumeReconcilerOptions options, VolumeReconcilerParts parts)
    : options_(options),
      parts_(std::move(parts)),
      carve_seconds_(parts_.metrics.GetHistogram(
          "ashlar_controller_carve_duration_seconds",
          "How long the agent took to carve a volume, as the controller saw it.")),
      refusals_(parts_.metrics.GetCounter("ashlar_controller_placement_refusals_total",
                                          "Placements that no node could take.")),
      waiting_gauge_(parts_.metrics.GetGauge("ashlar_controller_waiting_volumes",
                                             "Volumes that wait for room.")),
      calls_(options_.calls_per_node, parts_.wake) {}

absl::StatusOr<Action> VolumeReconciler::Reconcile(const CallContext& context,
                                                   const api::ObjectKey& key) {
  runtime::ObjectPtr object = parts_.volumes.Get(key);
  if (object == nullptr) {
    Gone(key);
    return Action::AwaitChange();
  }
  if (IsInlineVolume(*object)) return Action::AwaitChange();
  ASHLAR_ASSIGN_OR_RETURN(Pass pass, Gather(context, std::move(object)));
  return Act(pass, DecideVolume(pass.facts));
}

void VolumeReconciler::Gone(const api::ObjectKey& key) {
  if (auto promise = parts_.ledger.Find(key.name)) {
    parts_.ledger.Release(key.name);
    parts_.released(promise->pool);
  }
  SetWaiting(key.name, "", false);
}

absl::StatusOr<VolumeReconciler::Pass> VolumeReconciler::Gather(const CallContext& context,
                                                                runtime::ObjectPtr object) {
  Pass pass{.context = context, .object = std::move(object)};
  ASHLAR_ASSIGN_OR_RETURN(pass.facts.volume, api::FromJson<Volume>(*pass.object));
  pass.status_before = pass.facts.volume.status();
  pass.facts.has_finalizer = HasAgentFinalizer(*pass.object);
  if (pass.context.request_id.empty()) pass.context.request_id = kube::RequestIdOf(*pass.object);
  if (auto pool = parts_.pools.Get({"", pass.facts.volume.spec().pool()})) {
    ASHLAR_ASSIGN_OR_RETURN(pass.pool, api::FromJson<v1alpha1::Pool>(*pool));
    pass.facts.pool_exists = true;
    pass.facts.pool_deleting = pass.pool.metadata().has_deletion_timestamp();
  }
  ASHLAR_RETURN_IF_ERROR(GatherSource(pass));
  GatherAgent(pass);
  return pass;
}

absl::Status VolumeReconciler::GatherSource(Pass& pass) {
  const v1alpha1::VolumeSpec& spec = pass.facts.volume.spec();
  CopySource& source = pass.facts.source;
  source.wanted = spec.has_source();
  if (!source.wanted || IsCarved(pass.facts.volume)) return absl::OkStatus();
  if (spec.source().kind() == "Snapshot") {
    const runtime::ObjectPtr object = parts_.snapshots.Get({"", spec.source().name()});
    if (object == nullptr) return absl::OkStatus();
    ASHLAR_ASSIGN_OR_RETURN(const auto snapshot, api::FromJson<v1alpha1::Snapshot>(*object));
    const v1alpha1::SnapshotStatus& status = snapshot.status();
    source = {true,
              true,
              snapshot.metadata().has_deletion_timestamp(),
              api::IsConditionTrue(status.conditions(), "Ready"),
              snapshot.spec().node_name(),
              status.pool(),
              status.mode(),
              status.fs_type(),
              status.size()};
    return absl::OkStatus();
  }
  const runtime::ObjectPtr object = parts_.volumes.Get({"", spec.source().name()});
  if (object == nullptr) return absl::OkStatus();
  ASHLAR_ASSIGN_OR_RETURN(const Volume volume, api::FromJson<Volume>(*object));
  const bool block = volume.spec().mode() == "Block";
  std::string fs_type = volume.spec().fs_type();
  if (!block && fs_type.empty()) {
    const AgentView agent = parts_.agents.View(volume.spec().node_name());
    const agent::v1::VolumeState* reported =
        agent.report == nullptr ? nullptr : agent.report->FindVolume(volume.metadata().name());
    if (reported != nullptr) fs_type = reported->fs_type();
  }
  source = {true,
            true,
            volume.metadata().has_deletion_timestamp(),
            IsCarved(volume),
            volume.spec().node_name(),
            volume.spec().pool(),
            block ? "Block" : "Filesystem",
            fs_type,
            volume.status().size()};
  return absl::OkStatus();
}

void VolumeReconciler::GatherAgent(Pass& pass) {
  VolumeFacts& facts = pass.facts;
  facts.carving_unreported = parts_.ledger.Find(pass.name()).has_value();
  if (pass.node().empty()) return;
  pass.agent = parts_.agents.View(pass.node());
  facts.agent = pass.agent.state;
  facts.settling = pass.agent.settling;
  facts.agent_detail = pass.agent.detail;
  if (pass.agent.report != nullptr) {
    facts.reported = pass.agent.report->FindVolume(pass.name());
    facts.reported_pool = pass.agent.report->FindPool(facts.volume.spec().pool());
  }
  pass.node_absent = NodeAbsentFor(pass.node());
  facts.node_gone_for_good = pass.node_absent >= options_.node_gone_after;
}

absl::Duration VolumeReconciler::NodeAbsentFor(const std::string& node) {
  const bool exists = parts_.nodes.Exists(node);
  const absl::Time now = parts_.clock.Now();
  MutexLock lock(mu_);
  if (exists) {
    absent_since_.erase(node);
    return absl::ZeroDuration();
  }
  return now - absent_since_.try_emplace(node, now).first->second;
}

VolumeReconciler::Result VolumeReconciler::Act(Pass& pass, const VolumeDecision& decision) {
  switch (decision.step) {
    case VolumeStep::kForget:
      Gone({"", pass.name()});
      return Action::AwaitChange();
    case VolumeStep::kDropFinalizer:
      Gone({"", pass.name()});
      ASHLAR_RETURN_IF_ERROR(parts_.writer.RemoveFinalizer(pass.context, *pass.object));
      return Action::AwaitChange();
    case VolumeStep::kRemove:
      return Remove(pass);
    case VolumeStep::kAbandon:
      return Abandon(pass);
    case VolumeStep::kAwaitAgent:
      return AwaitAgent(pass, decision);
    case VolumeStep::kRefuse:
      return Refuse(pass, decision.reason, decision.message);
    case VolumeStep::kPlace:
      return Place(pass);
    case VolumeStep::kCarve:
      return Carve(pass);
    case VolumeStep::kGrow:
      return Grow(pass);
    case VolumeStep::kModify:
      return Modify(pass);
    case VolumeStep::kObserve:
      SetWaiting(pass.name(), "", false);
      ReleaseUnwanted(pass);
      return Finish(pass);
  }
  return absl::InternalError("a step without an action");
}

void VolumeReconciler::ReleaseUnwanted(const Pass& pass) {
  const auto promise = parts_.ledger.Find(pass.name());
  if (!promise || promise->bytes <= RoundedVolumeBytes(pass.facts.volume.spec().size())) return;
  parts_.ledger.Release(pass.name());
  parts_.released(promise->pool);
}

VolumeReconciler::Result VolumeReconciler::Finish(Pass& pass) {
  if (IsCarved(pass.facts.volume)) SetObserved(pass.facts, parts_.clock.Now());
  ASHLAR_RETURN_IF_ERROR(WriteStatus(pass));
  return Action::AwaitChange();
}

VolumeReconciler::Result VolumeReconciler::Refuse(Pass& pass, const std::string& reason,
                                                  const std::string& message) {
  SetWaiting(pass.name(), pass.facts.volume.spec().pool(), true);
  SetRefused(pass.facts.volume, reason, message, parts_.clock.Now());
  return Finish(pass);
}

VolumeReconciler::Result VolumeReconciler::Place(Pass& pass) {
  // Waits already, so that room that appears while it is being refused is not missed.
  SetWaiting(pass.name(), pass.facts.volume.spec().pool(), true);
  const VolumeRequest request = PlacementRequest(pass.facts, pass.pool);
  absl::StatusOr<std::vector<NodeOffer>> offers = parts_.nodes.For(pass.pool, request);
  if (!offers.ok()) {
    return Refuse(pass, kPoolNotReady,
                  absl::StrCat("pool ", pass.pool.metadata().name(), ": ",
                               std::string(offers.status().message())));
  }
  const PlacementOutcome outcome = parts_.ledger.Assign(*std::move(offers), request);
  if (const Refusal* refusal = std::get_if<Refusal>(&outcome)) {
    refusals_.Increment();
    return Refuse(pass, ReasonOf(refusal->kind), refusal->Explain());
  }
  parts_.promised(request.pool);
  const Assignment& assignment = std::get<Plan>(outcome).assignments.front();
  ASHLAR_RETURN_IF_ERROR(WriteNode(pass, assignment.node));
  GatherAgent(pass);
  const VolumeDecision next = DecideVolume(pass.facts);
  // The agent was heard when the node was chosen; if it fell silent since, the next pass says so.
  if (next.step != VolumeStep::kCarve) return Action::RequeueAfter(absl::ZeroDuration());
  return Carve(pass);
}

absl::Status VolumeReconciler::WriteNode(Pass& pass, const std::string& node) {
  Json owned = Json::object();
  owned["nodeName"] = node;
  ASHLAR_ASSIGN_OR_RETURN(Json answer,
                          parts_.writer.UpdateOwned(pass.context, *pass.object, owned));
  pass.object = std::make_shared<const Json>(std::move(answer));
  ASHLAR_ASSIGN_OR_RETURN(pass.facts.volume, api::FromJson<Volume>(*pass.object));
  pass.facts.has_finalizer = true;
  return absl::OkStatus();
}

VolumeReconciler::Result VolumeReconciler::Carve(Pass& pass) {
  if (!pass.facts.has_finalizer) ASHLAR_RETURN_IF_ERROR(WriteNode(pass, pass.node()));
  SetWaiting(pass.name(), pass.facts.volume.spec().pool(), true);
  const VolumeRequest request = PlacementRequest(pass.facts, pass.pool);
  ASHLAR_ASSIGN_OR_RETURN(std::vector<NodeOffer> offers, parts_.nodes.For(pass.pool, request));
  const PlacementOutcome outcome = parts_.ledger.Assign(std::move(offers), request);
  if (const Refusal* refusal = std::get_if<Refusal>(&outcome)) {
    refusals_.Increment();
    return Refuse(pass, ReasonOf(refusal->kind), refusal->Explain());
  }
  std::optional<CallLimit::Slot> slot = calls_.TryTake(pass.node(), pass.name());
  if (!slot) return Action::RequeueAfter(kBusyRetry);
  ASHLAR_ASSIGN_OR_RETURN(std::shared_ptr<AgentClient> agent, parts_.agents.Client(pass.node()));
  const absl::Time began = parts_.clock.Now();
  auto state = agent->EnsureVolume(AgentContext(pass), CarveRequest(pass.facts));
  slot.reset();
  if (!state.ok()) return Failed(pass, state.status(), "");
  carve_seconds_.Observe(parts_.clock.Now() - began);
  SetWaiting(pass.name(), "", false);
  SetCarved(pass.facts.volume, *state, parts_.clock.Now());
  ASHLAR_RETURN_IF_ERROR(WriteStatus(pass));
  // The report that shows the volume may have come before its promise was made.
  return DecideVolume(pass.facts).step == VolumeStep::kGrow
             ? Action::RequeueAfter(absl::ZeroDuration())
             : Action::AwaitChange();
}

VolumeReconciler::Result VolumeReconciler::Grow(Pass& pass) {
  const v1alpha1::VolumeSpec& spec = pass.facts.volume.spec();
  SetWaiting(pass.name(), spec.pool(), true);
  const PlacementOutcome outcome =
      parts_.ledger.Grow({pass.name(), pass.node(), spec.pool(), spec.size(), spec.drive()});
  if (const Refusal* refusal = std::get_if<Refusal>(&outcome)) {
    refusals_.Increment();
    return Refuse(pass, ReasonOf(refusal->kind), absl::StrCat("cannot grow: ", refusal->Explain()));
  }
  parts_.promised(spec.pool());
  std::optional<CallLimit::Slot> slot = calls_.TryTake(pass.node(), pass.name());
  if (!slot) return Action::RequeueAfter(kBusyRetry);
  ASHLAR_ASSIGN_OR_RETURN(std::shared_ptr<AgentClient> agent, parts_.agents.Client(pass.node()));
  auto state = agent->ResizeVolume(AgentContext(pass), pass.name(), spec.size());
  slot.reset();
  if (!state.ok()) return Failed(pass, state.status(), "cannot grow: ");
  SetWaiting(pass.name(), "", false);
  const int64_t before = pass.status_before.size();
  SetCarved(pass.facts.volume, *state, parts_.clock.Now());
  ASHLAR_RETURN_IF_ERROR(WriteStatus(pass));
  Publish(pass, EventSink::Type::kNormal, "Resized",
          absl::StrCat("from ", FormatBytes(before), " to ", FormatBytes(state->size_bytes())));
  return Action::AwaitChange();
}

VolumeReconciler::Result VolumeReconciler::Modify(Pass& pass) {
  std::optional<CallLimit::Slot> slot = calls_.TryTake(pass.node(), pass.name());
  if (!slot) return Action::RequeueAfter(kBusyRetry);
  ASHLAR_ASSIGN_OR_RETURN(std::shared_ptr<AgentClient> agent, parts_.agents.Client(pass.node()));
  auto state = agent->ModifyVolume(AgentContext(pass), ModifyRequest(pass.facts.volume));
  slot.reset();
  if (!state.ok()) {
    const CarveFailure failure = ExplainFailure(state.status(), pass.node());
    if (failure.in_status) {
      SetNotApplied(pass.facts.volume, failure.repeat ? failure.reason : kRefused, failure.message,
                    parts_.clock.Now());
      ASHLAR_RETURN_IF_ERROR(WriteStatus(pass));
    }
    if (failure.repeat) return absl::UnavailableError(failure.message);
    return Action::RequeueAfter(options_.slow_retry);
  }
  ObserveAttributes(pass.facts.volume, *state, parts_.clock.Now());
  const bool news =
      pass.facts.volume.status().SerializeAsString() != pass.status_before.SerializeAsString();
  ASHLAR_RETURN_IF_ERROR(WriteStatus(pass));
  if (news) {
    Publish(pass, EventSink::Type::kNormal, "Modified",
            DescribeAttributes(pass.facts.volume.spec()));
  }
  return Action::AwaitChange();  // the report that shows it queues the volume
}

VolumeReconciler::Result VolumeReconciler::Failed(Pass& pass, const absl::Status& status,
                                                  const char* doing) {
  CarveFailure failure = ExplainFailure(status, pass.node());
  LogWarning("agent refused", {{"volume", pass.name()},
                               {"node", pass.node()},
                               {"error", status.ToString()},
                               {"request", pass.context.request_id}});
  if (!failure.repeat) {
    // Nothing is under way: the bytes are free for others, and for this volume when it is tried
    // again. After errors that say nothing of the outcome the promise stays.
    parts_.ledger.Release(pass.name());
    parts_.promised(pass.facts.volume.spec().pool());
  }
  if (failure.in_status) {
    SetRefused(pass.facts.volume, failure.reason, absl::StrCat(doing, failure.message),
               parts_.clock.Now());
    ASHLAR_RETURN_IF_ERROR(WriteStatus(pass));
  }
  if (failure.repeat) return absl::UnavailableError(failure.message);
  return Action::RequeueAfter(options_.slow_retry);
}

VolumeReconciler::Result VolumeReconciler::Remove(Pass& pass) {
  SetWaiting(pass.name(), "", false);
  if (const std::string claim = parts_.holder(pass.name()); !claim.empty()) {
    SetDeletionWaits(pass.facts.volume, "InUse",
                     absl::StrCat("the deletion waits until ResourceClaim ", claim,
                                  " no longer holds the volume"),
                     parts_.clock.Now());
    ASHLAR_RETURN_IF_ERROR(WriteStatus(pass));
    return Action::RequeueAfter(options_.quick_retry);
  }
  std::optional<CallLimit::Slot> slot = calls_.TryTake(pass.node(), pass.name());
  if (!slot) return Action::RequeueAfter(kBusyRetry);
  ASHLAR_ASSIGN_OR_RETURN(std::shared_ptr<AgentClient> agent, parts_.agents.Client(pass.node()));
  const absl::Status removed = agent->RemoveVolume(AgentContext(pass), pass.name());
  slot.reset();
  if (absl::IsFailedPrecondition(removed)) {
    SetDeletionWaits(pass.facts.volume, "InUse",
                     absl::StrCat("the deletion waits until the volume is no longer used: ",
                                  std::string(removed.message())),
                     parts_.clock.Now());
    ASHLAR_RETURN_IF_ERROR(WriteStatus(pass));
    return Action::RequeueAfter(options_.slow_retry);
  }
  if (!removed.ok()) {
    const CarveFailure failure = ExplainFailure(removed, pass.node());
    if (failure.in_status) {
      SetDeletionWaits(pass.facts.volume,
                       absl::IsUnavailable(removed) ? kAgentUnavailable : "RemoveFailed",
                       failure.message, parts_.clock.Now());
      ASHLAR_RETURN_IF_ERROR(WriteStatus(pass));
    }
    return absl::UnavailableError(removed.message());
  }
  parts_.ledger.Removed(pass.node(), pass.name());
  parts_.released(pass.facts.volume.spec().pool());
  ASHLAR_RETURN_IF_ERROR(parts_.writer.RemoveFinalizer(pass.context, *pass.object));
  return Action::AwaitChange();
}

VolumeReconciler::Result VolumeReconciler::Abandon(Pass& pass) {
  const std::string message =
      absl::StrCat("node ", pass.node(), " is gone since ",
                   absl::FormatDuration(absl::Trunc(pass.node_absent, absl::Seconds(1))),
                   "; the volume is released without removing its bytes there");
  Publish(pass, EventSink::Type::kWarning, "NodeGone", message);
  LogWarning("volume abandoned", {{"volume", pass.name()}, {"node", pass.node()}});
  Gone({"", pass.name()});
  ASHLAR_RETURN_IF_ERROR(parts_.writer.RemoveFinalizer(pass.context, *pass.object));
  return Action::AwaitChange();
}

VolumeReconciler::Result VolumeReconciler::AwaitAgent(Pass& pass, const VolumeDecision& decision) {
  if (!pass.facts.settling) {
    SetDeletionWaits(pass.facts.volume, decision.reason, decision.message, parts_.clock.Now());
    ASHLAR_RETURN_IF_ERROR(WriteStatus(pass));
  }
  // The agent's next report queues the volume; the end of its node is only seen by looking.
  if (pass.node_absent > absl::ZeroDuration() || !parts_.nodes.Exists(pass.node())) {
    return Action::RequeueAfter(
        std::max(options_.node_gone_after - pass.node_absent, absl::Seconds(1)));
  }
  return Action::RequeueAfter(options_.slow_retry);
}

absl::Status VolumeReconciler::WriteStatus(Pass& pass) {
  Volume& volume = pass.facts.volume;
  if (pass.agent.report != nullptr)
    ObserveLocality(pass.agent.report->inventory(), parts_.clock.Now(), volume);
  if (volume.status().SerializeAsString() == pass.status_before.SerializeAsString()) {
    return absl::OkStatus();
  }
  const auto answer = parts_.writer.UpdateStatus(pass.context, *pass.object, volume.status());
  // Deleted meanwhile: the cache will tell, and there is nobody left to be told.
  if (absl::IsNotFound(answer.status())) return absl::OkStatus();
  ASHLAR_RETURN_IF_ERROR(answer.status());
  PublishTurns(pass);
  return absl::OkStatus();
}

void VolumeReconciler::PublishTurns(const Pass& pass) {
  for (const k8s::Condition& turned :
       TurnedConditions(pass.status_before.conditions(), pass.facts.volume.status().conditions())) {
    if (turned.type() == "Published" || turned.status() != api::kFalse) continue;
    Publish(pass, EventSink::Type::kWarning, turned.reason(), turned.message());
  }
  if (const std::string corrected = NewCorrection(pass.status_before, pass.facts.volume.status());
      !corrected.empty()) {
    Publish(pass, EventSink::Type::kWarning, "FilesystemCorrected", corrected);
  }
}

void VolumeReconciler::Publish(const Pass& pass, EventSink::Type type, absl::string_view reason,
                               absl::string_view message) {
  parts_.events.Publish(type, *pass.object, reason, message);
  const Volume& volume = pass.facts.volume;
  if (!volume.spec().has_claim_ref()) return;
  parts_.events.PublishOnClaim(
      pass.context, type,
      {volume.spec().claim_ref().namespace_(), volume.spec().claim_ref().name()}, reason,
      absl::StrCat("volume ", pass.name(), ": ", std::string(message)));
}

CallContext VolumeReconciler::AgentContext(const Pass& pass) const {
  return pass.context.Until(parts_.clock.Now() + options_.agent_timeout);
}

void VolumeReconciler::PromiseUnfinished() {
  for (const runtime::ObjectPtr& object : parts_.volumes.List()) {
    const auto volume = api::FromJson<Volume>(*object);
    if (!volume.ok() || volume->spec().node_name().empty() || volume->spec().has_pod()) continue;
    if (volume->status().size() >= volume->spec().size()) continue;
    // What was refused is not under way.
    const k8s::Condition* carved = api::FindCondition(volume->status().conditions(), "Carved");
    if (carved != nullptr &&
        (carved->reason() == kNoCapacity || carved->reason() == kInvalidVolume)) {
      continue;
    }
    parts_.ledger.Assume({volume->metadata().name(), volume->spec().node_name(),
                          volume->spec().pool(), volume->spec().size(), volume->spec().drive()});
  }
}

std::vector<api::ObjectKey> VolumeReconciler::Waiting(const std::string& pool) const {
  std::vector<api::ObjectKey> keys;
  MutexLock lock(mu_);
  for (const auto& [volume, of] : waiting_) {
    if (pool.empty() || of == pool) keys.push_back({"", volume});
  }
  return keys;
}

void VolumeReconciler::SetWaiting(const std::string& volume, const std::string& pool,
                                  bool waiting) {
  size_t count = 0;
  {
    MutexLock lock(mu_);
    if (waiting) {
      waiting_[volume] = pool;
    } else {
      waiting_.erase(volume);
    }
    count = waiting_.size();
  }
  waiting_gauge_.Set(static_cast<double>(count));
}

}  // namespace ashlar::controller
