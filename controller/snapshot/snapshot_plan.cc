#include "controller/snapshot/snapshot_plan.h"

#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "controller/volume/volume_plan.h"
#include "lib/api/conditions.h"

namespace ashlar::controller {
namespace {

template <class Object>
void Set(Object& object, absl::string_view type, absl::string_view status, absl::string_view reason,
         absl::string_view message, absl::Time now) {
  const int64_t generation = object.metadata().generation();
  api::SetCondition(*object.mutable_status()->mutable_conditions(),
                    {type, status, reason, message, generation}, now);
  object.mutable_status()->set_observed_generation(generation);
}

std::string AgentProblem(const AgentFacts& agent, const std::string& node) {
  std::string text = agent.state == AgentState::kNone
                         ? absl::StrCat("node ", node, " runs no agent")
                         : absl::StrCat("the agent of node ", node, " is silent");
  if (!agent.detail.empty()) absl::StrAppend(&text, ": ", agent.detail);
  return text;
}

SnapshotDecision DecideDeletion(const SnapshotFacts& facts) {
  const std::string& node = facts.snapshot.spec().node_name();
  if (!facts.has_finalizer) return {SnapshotStep::kForget};
  if (node.empty()) return {SnapshotStep::kDropFinalizer};
  if (facts.agent.state == AgentState::kHeard) return {SnapshotStep::kRemove};
  if (facts.agent.gone_for_good) return {SnapshotStep::kAbandon};
  return {SnapshotStep::kAwaitAgent, kAgentUnavailable,
          absl::StrCat("the deletion waits: ", AgentProblem(facts.agent, node))};
}

}  // namespace

bool IsTaken(const v1alpha1::Snapshot& snapshot) { return snapshot.status().has_size(); }

SnapshotDecision DecideSources(const std::vector<SourceVolume>& sources, std::string& node) {
  std::set<std::string> nodes;
  std::vector<std::string> where;
  for (const SourceVolume& source : sources) {
    if (!source.exists)
      return {SnapshotStep::kRefuse, kVolumeNotFound,
              absl::StrCat("there is no volume ", source.name)};
    if (source.volume.metadata().has_deletion_timestamp())
      return {SnapshotStep::kRefuse, kVolumeNotReady,
              absl::StrCat("volume ", source.name, " is being deleted")};
    if (!IsCarved(source.volume) || source.volume.spec().node_name().empty())
      return {SnapshotStep::kRefuse, kVolumeNotReady,
              absl::StrCat("volume ", source.name, " is not carved yet")};
    nodes.insert(source.volume.spec().node_name());
    where.push_back(absl::StrCat(source.name, " on node ", source.volume.spec().node_name()));
  }
  if (nodes.size() > 1)
    return {SnapshotStep::kRefuse, kOnDifferentNodes,
            absl::StrCat("only volumes of one node can be copied at one moment: ",
                         absl::StrJoin(where, ", "))};
  if (!nodes.empty()) node = *nodes.begin();
  return {SnapshotStep::kTake};
}

SnapshotDecision DecideSnapshot(const SnapshotFacts& facts) {
  const v1alpha1::Snapshot& snapshot = facts.snapshot;
  if (snapshot.metadata().has_deletion_timestamp()) return DecideDeletion(facts);
  if (IsTaken(snapshot)) return {SnapshotStep::kObserve};
  if (!snapshot.spec().group().empty()) return {SnapshotStep::kAwaitGroup};
  std::string node = snapshot.spec().node_name();
  // What the agent has taken is not asked for its source any more.
  if (facts.reported == nullptr) {
    SnapshotDecision decision = DecideSources({facts.source}, node);
    if (decision.step == SnapshotStep::kRefuse) return decision;
  }
  if (facts.agent.state == AgentState::kHeard) return {SnapshotStep::kTake};
  if (facts.agent.settling) return {SnapshotStep::kAwaitAgent};
  return {SnapshotStep::kRefuse, kAgentUnavailable, AgentProblem(facts.agent, node)};
}

SnapshotDecision ExplainTakeFailure(const absl::Status& status, const std::string& node,
                                    bool& repeat) {
  repeat = false;
  const std::string message = absl::StrCat("node ", node, ": ", std::string(status.message()));
  switch (status.code()) {
    case absl::StatusCode::kResourceExhausted:
      return {SnapshotStep::kRefuse, kNoCapacity, message};
    case absl::StatusCode::kUnimplemented:
      return {SnapshotStep::kRefuse, kCopiesNotSupported, message};
    case absl::StatusCode::kFailedPrecondition:
      return {SnapshotStep::kRefuse, kTooManyExtents, message};
    case absl::StatusCode::kUnavailable:
      repeat = true;
      return {SnapshotStep::kRefuse, kAgentUnavailable, message};
    default:
      repeat = true;
      return {SnapshotStep::kRefuse, kTakeFailed, message};
  }
}

void SetNotReady(v1alpha1::Snapshot& snapshot, const std::string& reason,
                 const std::string& message, absl::Time now) {
  Set(snapshot, "Ready", api::kFalse, reason, message, now);
}

void SetTaken(v1alpha1::Snapshot& snapshot, const agent::v1::VolumeState& state, absl::Time now) {
  v1alpha1::SnapshotStatus& status = *snapshot.mutable_status();
  status.set_size(state.size_bytes());
  if (!status.has_creation_time())
    status.mutable_creation_time()->set_seconds(absl::ToUnixSeconds(now));
  status.set_pool(state.pool());
  status.set_mode(state.mode() == agent::v1::VOLUME_MODE_BLOCK ? "Block" : "Filesystem");
  status.set_fs_type(state.fs_type());
  status.set_extents(state.extents());
  Set(snapshot, "Ready", api::kTrue, "Taken",
      absl::StrCat(FormatBytes(state.size_bytes()), " in ", state.extents(),
                   state.extents() == 1 ? " extent" : " extents", " on node ",
                   snapshot.spec().node_name()),
      now);
}

void SetSnapshotObserved(SnapshotFacts& facts, absl::Time now) {
  v1alpha1::Snapshot& snapshot = facts.snapshot;
  const std::string& node = snapshot.spec().node_name();
  if (facts.agent.state != AgentState::kHeard) {
    if (!facts.agent.settling)
      Set(snapshot, "Ready", api::kUnknown, kAgentUnavailable, AgentProblem(facts.agent, node),
          now);
    return;
  }
  // A report may be older than the snapshot: only one that it was in can lose it.
  if (facts.reported == nullptr) return;
  if (facts.reported->healthy()) {
    SetTaken(snapshot, *facts.reported, now);
  } else {
    Set(snapshot, "Ready", api::kFalse, kSnapshotLost, facts.reported->message(), now);
  }
}

void SetSnapshotDeletionWaits(v1alpha1::Snapshot& snapshot, const std::string& reason,
                              const std::string& message, absl::Time now) {
  Set(snapshot, "Deleted", api::kFalse, reason, message, now);
}

void SetGroup(v1alpha1::SnapshotGroup& group, bool ready, const std::string& reason,
              const std::string& message, absl::Time now) {
  if (ready && !group.status().has_creation_time())
    group.mutable_status()->mutable_creation_time()->set_seconds(absl::ToUnixSeconds(now));
  Set(group, "Ready", ready ? api::kTrue : api::kFalse, reason, message, now);
}

}  // namespace ashlar::controller
