// What is to be done about one Snapshot or SnapshotGroup, and what its status says: decided from
// facts alone.
//
//   nodeName   status.size   life of a snapshot
//   ────────   ───────────   ────────────────────────────────────────────────────────────────
//   unset      unset         new ──► kTake (nodeName is written, the agent takes it) or kRefuse;
//                            of a group: kAwaitGroup, whose reconciler does this for all members
//   set        unset         being taken ──► kTake again
//   set        set           taken ──► kObserve
//   deletion   any           kRemove on the agent, then the finalizer goes; kAbandon if the node is
//                            gone for good; kDropFinalizer if no node was ever asked
//
// A snapshot that was taken is never taken again: what it is of has passed.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "ashlar/agent/v1/node_agent.pb.h"
#include "ashlar/v1alpha1/snapshot.pb.h"
#include "ashlar/v1alpha1/volume.pb.h"
#include "controller/placement/placement.h"

namespace ashlar::controller {

// Reasons of Ready=False.
inline constexpr char kVolumeNotFound[] = "VolumeNotFound";
inline constexpr char kVolumeNotReady[] = "VolumeNotReady";
inline constexpr char kOnDifferentNodes[] = "VolumesOnDifferentNodes";
inline constexpr char kCopiesNotSupported[] = "CopiesNotSupported";
inline constexpr char kTooManyExtents[] = "SourceNotCopyable";
inline constexpr char kSnapshotLost[] = "SnapshotLost";
inline constexpr char kTakeFailed[] = "TakeFailed";

// A volume that is to be copied, as its object says it.
struct SourceVolume {
  std::string name;
  bool exists = false;
  v1alpha1::Volume volume;
};

struct AgentFacts {
  AgentState state = AgentState::kNone;
  bool settling = false;       // too early to conclude anything from its silence
  bool gone_for_good = false;  // neither a Node object nor an agent for long enough
  std::string detail;
};

struct SnapshotFacts {
  v1alpha1::Snapshot snapshot;
  bool has_finalizer = false;
  SourceVolume source;
  AgentFacts agent;  // of the node in spec.nodeName, or of the source's
  const agent::v1::VolumeState* reported = nullptr;
};

enum class SnapshotStep {
  kForget,
  kDropFinalizer,
  kRemove,
  kAbandon,
  kAwaitAgent,
  kAwaitGroup,
  kRefuse,
  kTake,
  kObserve,
};

struct SnapshotDecision {
  SnapshotStep step = SnapshotStep::kObserve;
  std::string reason;
  std::string message;
};

SnapshotDecision DecideSnapshot(const SnapshotFacts& facts);
bool IsTaken(const v1alpha1::Snapshot& snapshot);

// Why these volumes cannot be copied at one moment: kRefuse; else kTake. `node` becomes theirs.
SnapshotDecision DecideSources(const std::vector<SourceVolume>& sources, std::string& node);

// What the failure of a call to the agent means. `repeat`: soon; else it waits for a change.
SnapshotDecision ExplainTakeFailure(const absl::Status& status, const std::string& node,
                                    bool& repeat);

// The changes to a status. Each keeps what it does not speak of.
void SetNotReady(v1alpha1::Snapshot& snapshot, const std::string& reason,
                 const std::string& message, absl::Time now);
void SetTaken(v1alpha1::Snapshot& snapshot, const agent::v1::VolumeState& state, absl::Time now);
void SetSnapshotObserved(SnapshotFacts& facts, absl::Time now);
void SetSnapshotDeletionWaits(v1alpha1::Snapshot& snapshot, const std::string& reason,
                              const std::string& message, absl::Time now);
void SetGroup(v1alpha1::SnapshotGroup& group, bool ready, const std::string& reason,
              const std::string& message, absl::Time now);

}  // namespace ashlar::controller
