#include "controller/volume/volume_plan.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "controller/volume/volume_attributes.h"
#include "lib/api/conditions.h"

namespace ashlar::controller {
namespace {

void Set(v1alpha1::Volume& volume, absl::string_view type, absl::string_view status,
         absl::string_view reason, absl::string_view message, absl::Time now) {
  const int64_t generation = volume.metadata().generation();
  api::SetCondition(*volume.mutable_status()->mutable_conditions(),
                    {type, status, reason, message, generation}, now);
  volume.mutable_status()->set_observed_generation(generation);
}

std::string AgentProblem(const VolumeFacts& facts) {
  const std::string& node = facts.volume.spec().node_name();
  std::string text = facts.agent == AgentState::kNone
                         ? absl::StrCat("node ", node, " runs no agent")
                         : absl::StrCat("the agent of node ", node, " is silent");
  if (!facts.agent_detail.empty()) absl::StrAppend(&text, ": ", facts.agent_detail);
  return text;
}

VolumeDecision DecideDeletion(const VolumeFacts& facts) {
  if (!facts.has_finalizer) return {VolumeStep::kForget};
  if (facts.volume.spec().node_name().empty()) return {VolumeStep::kDropFinalizer};
  if (facts.agent == AgentState::kHeard) return {VolumeStep::kRemove};
  if (facts.node_gone_for_good) return {VolumeStep::kAbandon};
  return {VolumeStep::kAwaitAgent, kAgentUnavailable,
          absl::StrCat("the deletion waits: ", AgentProblem(facts))};
}

VolumeDecision CheckSource(const VolumeFacts& facts) {
  const v1alpha1::VolumeSpec& spec = facts.volume.spec();
  const CopySource& source = facts.source;
  const std::string name = absl::StrCat(
      spec.source().kind() == "Snapshot" ? "snapshot " : "volume ", spec.source().name());
  const auto invalid = [&](const std::string& what) {
    return VolumeDecision{VolumeStep::kRefuse, kInvalidVolume, what};
  };
  if (!source.exists)
    return {VolumeStep::kRefuse, kSourceNotFound, absl::StrCat("there is no ", name)};
  if (source.deleting || !source.ready)
    return {VolumeStep::kRefuse, kSourceNotReady,
            absl::StrCat(name, source.deleting ? " is being deleted" : " is not ready yet")};
  if (spec.pool() != source.pool)
    return invalid(absl::StrCat("spec.pool is ", spec.pool(), ": the source, ", name,
                                ", lies in pool ", source.pool));
  const std::string mode = spec.mode().empty() ? "Filesystem" : spec.mode();
  if (mode != source.mode)
    return invalid(
        absl::StrCat("spec.mode is ", mode, ": the source, ", name, ", has ", source.mode));
  if (!spec.fs_type().empty() && spec.fs_type() != source.fs_type)
    return invalid(absl::StrCat("spec.fsType is ", spec.fs_type(), ": the source, ", name, ", has ",
                                source.fs_type));
  if (RoundedVolumeBytes(spec.size()) < source.size_bytes)
    return invalid(absl::StrCat("spec.size is ", FormatBytes(spec.size()), ": the source, ", name,
                                ", has ", FormatBytes(source.size_bytes)));
  if (!spec.node_name().empty() && spec.node_name() != source.node)
    return invalid(absl::StrCat("spec.nodeName is ", spec.node_name(), ": the source, ", name,
                                ", lies on node ", source.node));
  return {VolumeStep::kPlace};
}

VolumeDecision DecideCarving(const VolumeFacts& facts) {
  const v1alpha1::VolumeSpec& spec = facts.volume.spec();
  if (spec.size() <= 0) {
    return {VolumeStep::kRefuse, kInvalidVolume,
            absl::StrCat("spec.size is ", spec.size(), " and must be greater than 0")};
  }
  if (!facts.pool_exists) {
    return {VolumeStep::kRefuse, kPoolNotFound, absl::StrCat("there is no pool ", spec.pool())};
  }
  if (facts.pool_deleting) {
    return {VolumeStep::kRefuse, kPoolNotReady,
            absl::StrCat("pool ", spec.pool(), " is being deleted")};
  }
  // What the agent has copied is not asked for its source any more.
  if (facts.source.wanted && facts.reported == nullptr) {
    VolumeDecision decision = CheckSource(facts);
    if (decision.step == VolumeStep::kRefuse) return decision;
  }
  if (spec.node_name().empty()) return {VolumeStep::kPlace};
  if (facts.agent == AgentState::kHeard) return {VolumeStep::kCarve};
  if (facts.settling) return {VolumeStep::kAwaitAgent};
  return {VolumeStep::kRefuse, kAgentUnavailable, AgentProblem(facts)};
}

bool WantsGrowth(const v1alpha1::Volume& volume, int64_t present_bytes) {
  return RoundedVolumeBytes(volume.spec().size()) > present_bytes;
}

void SetHealth(v1alpha1::Volume& volume, const agent::v1::VolumeState& state, absl::Time now) {
  // Agents of earlier versions tell no reason.
  const std::string reason = state.reason().empty() ? "Unhealthy" : state.reason();
  Set(volume, "Healthy", state.healthy() ? api::kTrue : api::kFalse,
      state.healthy() ? "Healthy" : reason, state.message(), now);
}

void ObserveHealth(VolumeFacts& facts, absl::Time now) {
  v1alpha1::Volume& volume = facts.volume;
  const std::string& node = volume.spec().node_name();
  if (facts.agent != AgentState::kHeard) {
    if (!facts.settling) {
      Set(volume, "Healthy", api::kUnknown, kAgentUnavailable, AgentProblem(facts), now);
    }
    return;
  }
  if (facts.reported != nullptr) {
    SetHealth(volume, *facts.reported, now);
    return;
  }
  if (facts.carving_unreported) return;
  if (facts.reported_pool == nullptr || !facts.reported_pool->ready()) {
    std::string why = absl::StrCat("pool ", volume.spec().pool(), " is not ready on node ", node);
    if (facts.reported_pool != nullptr) {
      absl::StrAppend(&why, ": ", facts.reported_pool->reason(), ": ",
                      facts.reported_pool->message());
    }
    Set(volume, "Healthy", api::kFalse, kPoolNotReady, why, now);
    return;
  }
  Set(volume, "Healthy", api::kFalse, "VolumeLost",
      absl::StrCat("the agent of node ", node, " does not know the volume any more"), now);
}

void ObserveGpuDirect(v1alpha1::Volume& volume, const agent::v1::VolumeState& state,
                      absl::Time now) {
  if (volume.spec().gpu_direct().empty()) return;
  if (!state.has_gpu_direct())
    return Set(volume, "GPUDirect", api::kUnknown, "NotPublished",
               "which way cuFile takes is seen when a pod has the volume", now);
  const std::string& mode = state.gpu_direct().mode();
  const absl::string_view status = mode == "GDS"             ? api::kTrue
                                   : mode == "Compatibility" ? api::kFalse
                                                             : api::kUnknown;
  Set(volume, "GPUDirect", status, mode, state.gpu_direct().message(), now);
}

void ObserveState(v1alpha1::Volume& volume, const agent::v1::VolumeState& state, absl::Time now) {
  v1alpha1::VolumeStatus& status = *volume.mutable_status();
  status.set_size(state.size_bytes());
  status.mutable_device()->set_path(state.device_path());
  status.mutable_device()->set_drive(state.drive());
  status.mutable_device()->set_extents(state.extents());
  ObserveAttributes(volume, state, now);
  ObserveGpuDirect(volume, state, now);
  if (state.publications() > 0) {
    Set(volume, "Published", api::kTrue, "Published",
        absl::StrCat("at ", state.publications(), state.publications() == 1 ? " path" : " paths"),
        now);
  } else {
    Set(volume, "Published", api::kFalse, state.staged() ? "Staged" : "NotPublished", "", now);
  }
}

void ObserveSize(v1alpha1::Volume& volume, absl::Time now) {
  // A growth that is still to come leaves the condition to the step that tries it.
  if (volume.status().size() < volume.spec().size()) return;
  Set(volume, "Carved", api::kTrue, "Carved",
      absl::StrCat(FormatBytes(volume.status().size()), " on node ", volume.spec().node_name()),
      now);
}

}  // namespace

bool IsCarved(const v1alpha1::Volume& volume) { return volume.status().has_size(); }

bool IsInlineVolume(const Json& volume) { return FindJson(volume, {"spec", "pod"}) != nullptr; }

VolumeDecision DecideVolume(const VolumeFacts& facts) {
  const v1alpha1::Volume& volume = facts.volume;
  if (volume.metadata().has_deletion_timestamp()) return DecideDeletion(facts);
  if (!IsCarved(volume)) return DecideCarving(facts);
  if (facts.agent == AgentState::kHeard && facts.reported != nullptr &&
      WantsModification(volume, *facts.reported)) {
    return {VolumeStep::kModify};
  }
  // A report may be older than the answer to a growth.
  const int64_t present = std::max(volume.status().size(),
                                   facts.reported == nullptr ? 0 : facts.reported->size_bytes());
  if (!WantsGrowth(volume, present)) return {VolumeStep::kObserve};
  if (facts.agent != AgentState::kHeard) {
    if (facts.settling) return {VolumeStep::kObserve};
    return {VolumeStep::kRefuse, kAgentUnavailable,
            absl::StrCat("cannot grow: ", AgentProblem(facts))};
  }
  // A volume that its agent lost cannot grow; its health says so.
  const bool lost = facts.reported == nullptr && !facts.carving_unreported;
  return {lost ? VolumeStep::kObserve : VolumeStep::kGrow};
}

const char* ReasonOf(Refusal::Kind kind) {
  switch (kind) {
    case Refusal::Kind::kNoCapacity:
      return kNoCapacity;
    case Refusal::Kind::kPoolNotReady:
      return kPoolNotReady;
    case Refusal::Kind::kAgentUnavailable:
      return kAgentUnavailable;
  }
  return kNoCapacity;
}

CarveFailure ExplainFailure(const absl::Status& status, const std::string& node) {
  const std::string message = absl::StrCat("node ", node, ": ", std::string(status.message()));
  switch (status.code()) {
    case absl::StatusCode::kResourceExhausted:
      return {kNoCapacity, message, true, false};
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kUnimplemented:
      return {kInvalidVolume, message, true, false};
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kFailedPrecondition:
      return {kPoolNotReady, message, true, true};
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded:
      return {kAgentUnavailable, message, true, true};
    case absl::StatusCode::kAborted:
    case absl::StatusCode::kCancelled:
      return {kCarveFailed, message, false, true};
    default:
      return {kCarveFailed, message, true, true};
  }
}

agent::v1::EnsureVolumeRequest CarveRequest(const VolumeFacts& facts) {
  const v1alpha1::Volume& volume = facts.volume;
  const bool block = volume.spec().mode() == "Block";
  agent::v1::EnsureVolumeRequest request;
  request.set_volume_id(volume.metadata().name());
  request.set_pool(volume.spec().pool());
  // A volume that was carved before its answer arrived is taken as it is; it grows afterwards.
  request.set_size_bytes(facts.reported == nullptr
                             ? volume.spec().size()
                             : std::min(facts.reported->size_bytes(), volume.spec().size()));
  request.set_source(volume.spec().source().name());
  request.set_drive(volume.spec().drive());
  request.set_mode(block ? agent::v1::VOLUME_MODE_BLOCK : agent::v1::VOLUME_MODE_FILESYSTEM);
  if (!block) {
    // Empty: the agent makes what the pool's backend makes first.
    request.set_fs_type(!volume.spec().fs_type().empty() ? volume.spec().fs_type()
                        : facts.reported != nullptr      ? facts.reported->fs_type()
                                                         : facts.source.fs_type);
  }
  return request;
}

VolumeRequest PlacementRequest(const VolumeFacts& facts, const v1alpha1::Pool& pool) {
  const v1alpha1::Volume& volume = facts.volume;
  const v1alpha1::VolumeSpec& spec = volume.spec();
  VolumeRequest request;
  request.volume = volume.metadata().name();
  request.pool = spec.pool();
  request.size_bytes = spec.size();
  request.node = spec.node_name().empty() ? facts.source.node : spec.node_name();
  request.allowed_nodes = {spec.allowed_nodes().begin(), spec.allowed_nodes().end()};
  request.drive = spec.drive();
  request.preferred_nodes = {spec.preferred_nodes().begin(), spec.preferred_nodes().end()};
  request.policy =
      pool.spec().placement() == "BestFit" ? PlacementPolicy::kBestFit : PlacementPolicy::kMostFree;
  return request;
}

void SetRefused(v1alpha1::Volume& volume, const std::string& reason, const std::string& message,
                absl::Time now) {
  Set(volume, "Carved", api::kFalse, reason, message, now);
}

void SetCarved(v1alpha1::Volume& volume, const agent::v1::VolumeState& state, absl::Time now) {
  ObserveState(volume, state, now);
  ObserveSize(volume, now);
  SetHealth(volume, state, now);
}

void SetObserved(VolumeFacts& facts, absl::Time now) {
  // What a report says that is older than the carving is not news.
  if (facts.reported != nullptr && facts.agent == AgentState::kHeard &&
      facts.reported->size_bytes() >= facts.volume.status().size()) {
    ObserveState(facts.volume, *facts.reported, now);
  }
  ObserveSize(facts.volume, now);
  ObserveHealth(facts, now);
}

std::string NewCorrection(const v1alpha1::VolumeStatus& before,
                          const v1alpha1::VolumeStatus& after) {
  // A volume that is healthy has nothing else to say.
  const k8s::Condition* was = api::FindCondition(before.conditions(), "Healthy");
  const k8s::Condition* is = api::FindCondition(after.conditions(), "Healthy");
  if (is == nullptr || is->status() != api::kTrue) return "";
  return was != nullptr && was->message() == is->message() ? "" : is->message();
}

void SetDeletionWaits(v1alpha1::Volume& volume, const std::string& reason,
                      const std::string& message, absl::Time now) {
  Set(volume, "Deleted", api::kFalse, reason, message, now);
}

}  // namespace ashlar::controller
