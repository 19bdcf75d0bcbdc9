#include "controller/snapshot/snapshot_reconciler.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "controller/volume/volume_plan.h"
#include "lib/api/conditions.h"
#include "lib/api/kinds.h"
#include "lib/base/log.h"
#include "lib/base/status_macros.h"
#include "lib/kube/request_id.h"

namespace ashlar::controller {

using runtime::Action;
using v1alpha1::Snapshot;

absl::StatusOr<Action> SnapshotReconciler::Reconcile(const CallContext& context,
                                                     const api::ObjectKey& key) {
  runtime::ObjectPtr object = parts_.snapshots.Get(key);
  if (object == nullptr) return Action::AwaitChange();
  ASHLAR_ASSIGN_OR_RETURN(Pass pass, Gather(context, std::move(object)));
  return Act(pass, DecideSnapshot(pass.facts));
}

absl::StatusOr<SnapshotReconciler::Pass> SnapshotReconciler::Gather(const CallContext& context,
                                                                    runtime::ObjectPtr object) {
  Pass pass{.context = context, .object = std::move(object)};
  SnapshotFacts& facts = pass.facts;
  ASHLAR_ASSIGN_OR_RETURN(facts.snapshot, api::FromJson<Snapshot>(*pass.object));
  pass.status_before = facts.snapshot.status();
  facts.has_finalizer = HasAgentFinalizer(*pass.object);
  if (pass.context.request_id.empty()) pass.context.request_id = kube::RequestIdOf(*pass.object);
  facts.source.name = facts.snapshot.spec().volume();
  if (auto volume = parts_.volumes.Get({"", facts.source.name})) {
    ASHLAR_ASSIGN_OR_RETURN(facts.source.volume, api::FromJson<v1alpha1::Volume>(*volume));
    facts.source.exists = true;
  }
  const std::string node =
      pass.node().empty() ? facts.source.volume.spec().node_name() : pass.node();
  if (node.empty()) return pass;
  pass.agent = parts_.agents.View(node);
  facts.agent = {pass.agent.state, pass.agent.settling, GoneForGood(node), pass.agent.detail};
  if (pass.agent.report != nullptr) facts.reported = pass.agent.report->FindSnapshot(pass.name());
  return pass;
}

bool SnapshotReconciler::GoneForGood(const std::string& node) {
  const bool exists = parts_.nodes.Exists(node);
  const absl::Time now = parts_.clock.Now();
  MutexLock lock(mu_);
  if (exists) {
    absent_since_.erase(node);
    return false;
  }
  return now - absent_since_.try_emplace(node, now).first->second >= options_.node_gone_after;
}

SnapshotReconciler::Result SnapshotReconciler::Act(Pass& pass, const SnapshotDecision& decision) {
  switch (decision.step) {
    case SnapshotStep::kForget:
    case SnapshotStep::kAwaitGroup:
      return Action::AwaitChange();
    case SnapshotStep::kDropFinalizer:
      ASHLAR_RETURN_IF_ERROR(parts_.snapshot_writer.RemoveFinalizer(pass.context, *pass.object));
      return Action::AwaitChange();
    case SnapshotStep::kRemove:
      return Remove(pass);
    case SnapshotStep::kAbandon:
      return Abandon(pass);
    case SnapshotStep::kAwaitAgent:
      if (pass.facts.snapshot.metadata().has_deletion_timestamp() && !pass.facts.agent.settling) {
        SetSnapshotDeletionWaits(pass.facts.snapshot, decision.reason, decision.message,
                                 parts_.clock.Now());
        ASHLAR_RETURN_IF_ERROR(WriteStatus(pass));
      }
      return Action::RequeueAfter(options_.slow_retry);
    case SnapshotStep::kRefuse:
      return Refuse(pass, decision, options_.slow_retry);
    case SnapshotStep::kTake:
      return Take(pass);
    case SnapshotStep::kObserve:
      SetSnapshotObserved(pass.facts, parts_.clock.Now());
      ASHLAR_RETURN_IF_ERROR(WriteStatus(pass));
      return Action::AwaitChange();
  }
  return absl::InternalError("a step without an action");
}

SnapshotReconciler::Result SnapshotReconciler::Refuse(Pass& pass, const SnapshotDecision& decision,
                                                      absl::Duration again) {
  SetNotReady(pass.facts.snapshot, decision.reason, decision.message, parts_.clock.Now());
  ASHLAR_RETURN_IF_ERROR(WriteStatus(pass));
  return Action::RequeueAfter(again);
}

SnapshotReconciler::Result SnapshotReconciler::Take(Pass& pass) {
  if (!pass.facts.has_finalizer || pass.node().empty()) {
    const std::string node = pass.facts.source.volume.spec().node_name();
    Json owned = Json::object();
    if (pass.node().empty()) owned["nodeName"] = node;
    ASHLAR_ASSIGN_OR_RETURN(Json answer,
                            parts_.snapshot_writer.UpdateOwned(pass.context, *pass.object, owned));
    pass.object = std::make_shared<const Json>(std::move(answer));
    ASHLAR_ASSIGN_OR_RETURN(pass.facts.snapshot, api::FromJson<Snapshot>(*pass.object));
  }
  ASHLAR_ASSIGN_OR_RETURN(std::shared_ptr<AgentClient> agent, parts_.agents.Client(pass.node()));
  agent::v1::EnsureSnapshotsRequest request;
  request.add_snapshots()->set_snapshot_id(pass.name());
  request.mutable_snapshots(0)->set_volume_id(pass.facts.snapshot.spec().volume());
  const auto taken = agent->EnsureSnapshots(
      pass.context.Until(parts_.clock.Now() + options_.agent_timeout), request);
  if (!taken.ok()) {
    LogWarning("snapshot not taken", {{"snapshot", pass.name()},
                                      {"node", pass.node()},
                                      {"error", taken.status().ToString()},
                                      {"request", pass.context.request_id}});
    if (absl::IsAborted(taken.status())) return taken.status();
    bool repeat = false;
    const SnapshotDecision why = ExplainTakeFailure(taken.status(), pass.node(), repeat);
    return Refuse(pass, why, repeat ? options_.quick_retry : options_.slow_retry);
  }
  SetTaken(pass.facts.snapshot, taken->snapshots(0), parts_.clock.Now());
  ASHLAR_RETURN_IF_ERROR(WriteStatus(pass));
  return Action::AwaitChange();
}

SnapshotReconciler::Result SnapshotReconciler::Remove(Pass& pass) {
  ASHLAR_ASSIGN_OR_RETURN(std::shared_ptr<AgentClient> agent, parts_.agents.Client(pass.node()));
  const absl::Status removed = agent->RemoveSnapshot(
      pass.context.Until(parts_.clock.Now() + options_.agent_timeout), pass.name());
  if (absl::IsAborted(removed)) return removed;
  if (!removed.ok()) {
    SetSnapshotDeletionWaits(
        pass.facts.snapshot, "RemoveFailed",
        absl::StrCat("node ", pass.node(), ": ", std::string(removed.message())),
        parts_.clock.Now());
    ASHLAR_RETURN_IF_ERROR(WriteStatus(pass));
    return absl::UnavailableError(removed.message());
  }
  ASHLAR_RETURN_IF_ERROR(parts_.snapshot_writer.RemoveFinalizer(pass.context, *pass.object));
  return Action::AwaitChange();
}

SnapshotReconciler::Result SnapshotReconciler::Abandon(Pass& pass) {
  parts_.events.Publish(EventSink::Type::kWarning, *pass.object, "NodeGone",
                        absl::StrCat("node ", pass.node(),
                                     " is gone; the snapshot is released without removing its "
                                     "bytes there"));
  ASHLAR_RETURN_IF_ERROR(parts_.snapshot_writer.RemoveFinalizer(pass.context, *pass.object));
  return Action::AwaitChange();
}

absl::Status SnapshotReconciler::WriteStatus(Pass& pass) {
  const Snapshot& snapshot = pass.facts.snapshot;
  if (snapshot.status().SerializeAsString() == pass.status_before.SerializeAsString())
    return absl::OkStatus();
  const absl::Status written =
      parts_.snapshot_writer.UpdateStatus(pass.context, *pass.object, snapshot.status()).status();
  if (absl::IsNotFound(written)) return absl::OkStatus();  // deleted meanwhile
  ASHLAR_RETURN_IF_ERROR(written);
  const k8s::Condition* ready = api::FindCondition(snapshot.status().conditions(), "Ready");
  const k8s::Condition* before = api::FindCondition(pass.status_before.conditions(), "Ready");
  if (ready != nullptr && ready->status() == api::kFalse &&
      (before == nullptr || before->reason() != ready->reason()))
    parts_.events.Publish(EventSink::Type::kWarning, *pass.object, ready->reason(),
                          ready->message());
  return absl::OkStatus();
}

}  // namespace ashlar::controller
