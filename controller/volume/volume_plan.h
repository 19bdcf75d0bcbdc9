// What is to be done about one Volume, and what its status says: decided from facts alone.
//
//   nodeName   status.size   life of a volume
//   ────────   ───────────   ───────────────────────────────────────────────────────────────
//   unset      unset         new ──► kPlace (the ledger promises bytes, nodeName is written)
//   set        unset         placed ──► kCarve (the agent carves, status.size is written)
//   set        set           carved ──► kObserve (the agent's report goes into the status)
//   set        < spec.size   growing ──► kGrow
//   set        set           kModify if the agent holds other attributes than the spec has
//   deletion   any           kRemove on the agent, then the finalizer goes; kAbandon if the node
//                            is gone for good; kDropFinalizer if nothing was ever placed
//
// status.size is written when, and only when, the agent has said that the volume is complete. A
// volume that has it is never carved again: if its agent does not know it any more, its bytes are
// lost, and a new empty volume in its place would hide that.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "ashlar/agent/v1/node_agent.pb.h"
#include "ashlar/v1alpha1/pool.pb.h"
#include "ashlar/v1alpha1/volume.pb.h"
#include "controller/placement/placement.h"
#include "lib/base/json.h"

namespace ashlar::controller {

// Reasons of Carved=False.
inline constexpr char kNoCapacity[] = "NoCapacity";
inline constexpr char kPoolNotFound[] = "PoolNotFound";
inline constexpr char kPoolNotReady[] = "PoolNotReady";
inline constexpr char kInvalidVolume[] = "InvalidVolume";
inline constexpr char kAgentUnavailable[] = "AgentUnavailable";
inline constexpr char kCarveFailed[] = "CarveFailed";
inline constexpr char kSourceNotFound[] = "SourceNotFound";
inline constexpr char kSourceNotReady[] = "SourceNotReady";

// What spec.source names, if it names anything.
struct CopySource {
  bool wanted = false;
  bool exists = false;
  bool deleting = false;
  bool ready = false;  // it can be copied
  std::string node, pool, mode, fs_type;
  int64_t size_bytes = 0;
};

struct VolumeFacts {
  v1alpha1::Volume volume;
  bool has_finalizer = false;
  bool pool_exists = false;
  bool pool_deleting = false;
  // Of the node in spec.nodeName:
  bool node_gone_for_good = false;  // no Node object and no agent for long enough
  AgentState agent = AgentState::kNone;
  bool settling = false;  // too early to conclude anything from the agent's silence
  std::string agent_detail;
  const agent::v1::VolumeState* reported = nullptr;  // in the agent's last report
  const agent::v1::PoolState* reported_pool = nullptr;
  CopySource source;
  bool carving_unreported = false;  // promised, and no report shows it yet
};

enum class VolumeStep {
  kForget,         // being deleted and not ours to hold
  kDropFinalizer,  // being deleted, nothing was placed
  kRemove,         // being deleted: the agent removes it
  kAbandon,        // being deleted, and the node is gone for good
  kAwaitAgent,     // being deleted or not yet carved, and the agent does not answer
  kRefuse,         // cannot be carved as things are: `reason` and `message` say why
  kPlace,
  kCarve,
  kGrow,
  kModify,  // the agent holds other limits or another trim schedule than the spec asks for
  kObserve,
};

struct VolumeDecision {
  VolumeStep step = VolumeStep::kObserve;
  std::string reason;
  std::string message;
};

VolumeDecision DecideVolume(const VolumeFacts& facts);

bool IsCarved(const v1alpha1::Volume& volume);
// Whether the object tells of a pod's own volume: nothing is to be done about it.
bool IsInlineVolume(const Json& volume);

// What the failure of a call to the agent means for the volume.
struct CarveFailure {
  std::string reason;
  std::string message;
  bool in_status = true;  // false: it passes by itself at once (Aborted)
  bool repeat = true;     // false: waits until something changes
};
CarveFailure ExplainFailure(const absl::Status& status, const std::string& node);

// Reason of Carved=False for a refused placement.
const char* ReasonOf(Refusal::Kind kind);

agent::v1::EnsureVolumeRequest CarveRequest(const VolumeFacts& facts);
VolumeRequest PlacementRequest(const VolumeFacts& facts, const v1alpha1::Pool& pool);

// The changes to the status of facts.volume. Each keeps what it does not speak of.
void SetRefused(v1alpha1::Volume& volume, const std::string& reason, const std::string& message,
                absl::Time now);
// The agent says that the volume is so.
void SetCarved(v1alpha1::Volume& volume, const agent::v1::VolumeState& state, absl::Time now);
// What is known of a carved volume without asking.
void SetObserved(VolumeFacts& facts, absl::Time now);
// What a check has corrected in the volume's filesystem, if `before` did not say it yet; or empty.
std::string NewCorrection(const v1alpha1::VolumeStatus& before,
                          const v1alpha1::VolumeStatus& after);
// Why a deletion waits.
void SetDeletionWaits(v1alpha1::Volume& volume, const std::string& reason,
                      const std::string& message, absl::Time now);

}  // namespace ashlar::controller
