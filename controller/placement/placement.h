// Placement: which node gives its bytes to a request. A pure function: facts and a request in, a
// plan or an explained refusal out; equal input gives equal output. No clock, no I/O, no state;
// what was promised and is not yet visible is added by the CapacityLedger (capacity_ledger.h).
//
// The rules, in their order:
//   1. Only nodes that the request allows, that the pool selects, that take new volumes, whose
//   agent
//      is heard, and where the pool is ready are looked at.
//   2. A pool of several drives has more bytes than its largest volume. Nodes where the volume fits
//      wherever the volumes that are in flight come to lie are taken before nodes where it fits
//      only if they leave it room: there the agent has the last word.
//   3. The first preferred node that has room wins.
//   4. Otherwise MostFree takes the node with the most bytes left, BestFit the one with the fewest
//      that are enough; the name decides between equals.
// A request that names its node is placed there or refused; a cordon does not stand against it,
// because a person or an earlier plan chose the node.
#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "absl/strings/string_view.h"

namespace ashlar::controller {

// Volumes are multiples of this (proto/ashlar/v1alpha1/volume.proto).
inline constexpr int64_t kVolumeGranularityBytes = int64_t{1} << 20;

// `bytes` rounded up to the granularity; what cannot be rounded is INT64_MAX, which fits nowhere.
int64_t RoundedVolumeBytes(int64_t bytes);

// "20Gi", "1536Mi" or "12345": exact, in the largest unit that divides it.
std::string FormatBytes(int64_t bytes);

enum class AgentState { kNone, kSilent, kHeard };

// What one node offers to requests of one pool.
struct NodeOffer {
  std::string node;
  bool selected = false;  // by the pool's node selector
  bool cordoned = false;  // spec.unschedulable of the Node
  AgentState agent = AgentState::kNone;
  std::string agent_detail;  // such as "not heard since 12:00"; may be empty
  bool pool_ready = false;
  std::string pool_reason;  // of a pool that is not ready
  std::string pool_message;
  // Of a pool that is ready, without what is in flight:
  int64_t allocatable_bytes = 0;
  int64_t largest_bytes = 0;  // the largest volume, if all that is in flight lies beside it
  int64_t certain_bytes = 0;  // the largest volume wherever that lies; at most largest_bytes
  // Whether the pool takes volumes there on the drive that is wanted, if one is: the bytes are then
  // this drive's.
  bool has_drive = true;
};

enum class PlacementPolicy { kMostFree, kBestFit };

struct VolumeRequest {
  std::string volume;
  std::string pool;
  int64_t size_bytes = 0;
  std::string node;                          // the only node that will do; empty: any
  std::vector<std::string> allowed_nodes;    // empty: all
  std::vector<std::string> preferred_nodes;  // first come, first tried
  PlacementPolicy policy = PlacementPolicy::kMostFree;
  std::string drive = {};  // the only drive that will do; empty: any
};

struct Assignment {
  std::string volume;
  std::string node;
  std::string pool;
  int64_t bytes = 0;
  std::string drive = {};  // that it will lie on; empty: only the agent knows
  friend bool operator==(const Assignment&, const Assignment&) = default;
};

// Everything of a plan fits together, or there is no plan.
struct Plan {
  std::vector<Assignment> assignments;
};

enum class Obstacle {
  kNotAllowed,   // the request does not allow the node
  kNotSelected,  // the pool does not lie on the node
  kCordoned,
  kNoAgent,
  kAgentSilent,
  kPoolNotReady,
  kNoDrive,  // the pool takes no volumes there on the drive that is wanted
  kNoRoom,
};

struct NodeRefusal {
  std::string node;
  Obstacle obstacle = Obstacle::kNoRoom;
  std::string detail;         // for people
  int64_t largest_bytes = 0;  // for kNoRoom
};

// Why there is no plan: one entry for each node that was offered or allowed, by name.
struct Refusal {
  enum class Kind { kNoCapacity, kPoolNotReady, kAgentUnavailable };
  Kind kind = Kind::kNoCapacity;
  int64_t requested_bytes = 0;
  std::string pool;
  std::string drive;  // that was wanted
  std::vector<NodeRefusal> nodes;
  // The largest volume that would fit now, and where. 0: none at all.
  int64_t largest_bytes = 0;
  std::string largest_node;

  // One sentence for each of the nodes that matter most, a count of the rest, and what would fit.
  std::string Explain() const;
};

using PlacementOutcome = std::variant<Plan, Refusal>;

// `offers` names each node once.
PlacementOutcome Place(const std::vector<NodeOffer>& offers, const VolumeRequest& request);

}  // namespace ashlar::controller
