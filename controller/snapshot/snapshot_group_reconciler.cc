#include <utility>

#include "absl/strings/str_cat.h"
#include "controller/snapshot/snapshot_reconciler.h"
#include "controller/volume/volume_plan.h"
#include "lib/api/conditions.h"
#include "lib/api/kinds.h"
#include "lib/base/log.h"
#include "lib/base/status_macros.h"
#include "lib/kube/request_id.h"

namespace ashlar::controller {

using runtime::Action;
using v1alpha1::Snapshot;
using v1alpha1::SnapshotGroup;
using v1alpha1::SnapshotGroupMember;

absl::StatusOr<Action> SnapshotGroupReconciler::Reconcile(const CallContext& context,
                                                          const api::ObjectKey& key) {
  runtime::ObjectPtr object = parts_.groups.Get(key);
  if (object == nullptr) return Action::AwaitChange();
  Pass pass{.context = context, .object = std::move(object)};
  ASHLAR_ASSIGN_OR_RETURN(pass.group, api::FromJson<SnapshotGroup>(*pass.object));
  pass.status_before = pass.group.status();
  if (pass.context.request_id.empty()) pass.context.request_id = kube::RequestIdOf(*pass.object);
  if (pass.group.metadata().has_deletion_timestamp())
    return HasAgentFinalizer(*pass.object) ? Remove(pass) : Result(Action::AwaitChange());
  if (api::IsConditionTrue(pass.group.status().conditions(), "Ready")) return Action::AwaitChange();
  return Take(pass);
}

// The members go first; each of them gives its bytes back.
SnapshotGroupReconciler::Result SnapshotGroupReconciler::Remove(Pass& pass) {
  bool left = false;
  for (const SnapshotGroupMember& member : pass.group.spec().snapshots()) {
    const runtime::ObjectPtr object = parts_.snapshots.Get({"", member.name()});
    if (object == nullptr || JsonString(*object, {"spec", "group"}) != pass.group.metadata().name())
      continue;
    left = true;
    const absl::Status deleted =
        parts_.client.Delete(pass.context, api::Kind<Snapshot>(), {"", member.name()},
                             {.uid = JsonString(*object, {"metadata", "uid"})});
    if (!deleted.ok() && !absl::IsNotFound(deleted)) return deleted;
  }
  if (left) return Action::RequeueAfter(options_.slow_retry);  // the end of each wakes the group
  ASHLAR_RETURN_IF_ERROR(parts_.group_writer.RemoveFinalizer(pass.context, *pass.object));
  return Action::AwaitChange();
}

SnapshotGroupReconciler::Result SnapshotGroupReconciler::Finish(Pass& pass, bool ready,
                                                                const std::string& reason,
                                                                const std::string& message,
                                                                Action action) {
  SetGroup(pass.group, ready, reason, message, parts_.clock.Now());
  if (pass.group.status().SerializeAsString() == pass.status_before.SerializeAsString())
    return action;
  const absl::Status written =
      parts_.group_writer.UpdateStatus(pass.context, *pass.object, pass.group.status()).status();
  if (!written.ok() && !absl::IsNotFound(written)) return written;
  if (!ready) parts_.events.Publish(EventSink::Type::kWarning, *pass.object, reason, message);
  return action;
}

absl::StatusOr<std::vector<Json>> SnapshotGroupReconciler::EnsureMembers(Pass& pass) {
  std::vector<Json> members;
  for (const SnapshotGroupMember& member : pass.group.spec().snapshots()) {
    Json wanted{{"apiVersion", "ashlar.dev/v1alpha1"},
                {"kind", "Snapshot"},
                {"metadata", {{"name", member.name()}, {"finalizers", {kAgentFinalizer}}}},
                {"spec",
                 {{"volume", member.volume()},
                  {"group", pass.group.metadata().name()},
                  {"nodeName", pass.group.spec().node_name()}}}};
    kube::SetRequestId(pass.context, wanted);
    absl::StatusOr<Json> made = parts_.snapshot_writer.Create(pass.context, wanted);
    if (absl::IsAlreadyExists(made.status()))
      made = parts_.client.Get(pass.context, api::Kind<Snapshot>(), {"", member.name()});
    ASHLAR_RETURN_IF_ERROR(made.status());
    if (JsonString(*made, {"spec", "group"}) != pass.group.metadata().name() ||
        JsonString(*made, {"spec", "volume"}) != member.volume())
      return absl::AlreadyExistsError(
          absl::StrCat("there is a snapshot ", member.name(), " that is not of this group"));
    members.push_back(*std::move(made));
  }
  return members;
}

SnapshotGroupReconciler::Result SnapshotGroupReconciler::Take(Pass& pass) {
  std::vector<SourceVolume> sources;
  for (const SnapshotGroupMember& member : pass.group.spec().snapshots()) {
    SourceVolume source{.name = member.volume()};
    if (auto volume = parts_.volumes.Get({"", member.volume()})) {
      ASHLAR_ASSIGN_OR_RETURN(source.volume, api::FromJson<v1alpha1::Volume>(*volume));
      source.exists = true;
    }
    sources.push_back(std::move(source));
  }
  std::string node = pass.group.spec().node_name();
  const SnapshotDecision decision = DecideSources(sources, node);
  if (decision.step == SnapshotStep::kRefuse)
    return Finish(pass, false, decision.reason, decision.message,
                  Action::RequeueAfter(options_.slow_retry));
  if (!HasAgentFinalizer(*pass.object) || pass.group.spec().node_name().empty()) {
    ASHLAR_ASSIGN_OR_RETURN(Json answer, parts_.group_writer.UpdateOwned(pass.context, *pass.object,
                                                                         {{"nodeName", node}}));
    pass.object = std::make_shared<const Json>(std::move(answer));
    ASHLAR_ASSIGN_OR_RETURN(pass.group, api::FromJson<SnapshotGroup>(*pass.object));
  }
  const absl::StatusOr<std::shared_ptr<AgentClient>> agent = parts_.agents.Client(node);
  if (!agent.ok())
    return Finish(pass, false, kAgentUnavailable, std::string(agent.status().message()),
                  Action::RequeueAfter(options_.slow_retry));
  const absl::StatusOr<std::vector<Json>> members = EnsureMembers(pass);
  if (absl::IsAlreadyExists(members.status()))
    return Finish(pass, false, "NameTaken", std::string(members.status().message()),
                  Action::RequeueAfter(options_.slow_retry));
  ASHLAR_RETURN_IF_ERROR(members.status());
  agent::v1::EnsureSnapshotsRequest request;
  for (const SnapshotGroupMember& member : pass.group.spec().snapshots()) {
    agent::v1::SnapshotToTake& snapshot = *request.add_snapshots();
    snapshot.set_snapshot_id(member.name());
    snapshot.set_volume_id(member.volume());
  }
  const auto taken = (*agent)->EnsureSnapshots(
      pass.context.Until(parts_.clock.Now() + options_.agent_timeout), request);
  if (absl::IsAborted(taken.status())) return taken.status();
  if (!taken.ok()) {
    bool repeat = false;
    const SnapshotDecision why = ExplainTakeFailure(taken.status(), node, repeat);
    return Finish(pass, false, why.reason, why.message,
                  Action::RequeueAfter(repeat ? options_.quick_retry : options_.slow_retry));
  }
  ASHLAR_RETURN_IF_ERROR(WriteTaken(pass, *members, *taken));
  return Finish(pass, true, "Taken",
                absl::StrCat(taken->snapshots_size(), " snapshots of one moment on node ", node),
                Action::AwaitChange());
}

absl::Status SnapshotGroupReconciler::WriteTaken(Pass& pass, const std::vector<Json>& members,
                                                 const agent::v1::EnsureSnapshotsResponse& taken) {
  for (size_t i = 0; i < members.size(); ++i) {
    ASHLAR_ASSIGN_OR_RETURN(Snapshot snapshot, api::FromJson<Snapshot>(members[i]));
    if (IsTaken(snapshot)) continue;
    SetTaken(snapshot, taken.snapshots(static_cast<int>(i)), parts_.clock.Now());
    ASHLAR_RETURN_IF_ERROR(
        parts_.snapshot_writer.UpdateStatus(pass.context, members[i], snapshot.status()).status());
  }
  return absl::OkStatus();
}

}  // namespace ashlar::controller
