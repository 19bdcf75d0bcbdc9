// What is to be done about one Pool on each node, and what its status says: decided from facts
// alone.
//
// Ready means that the pool is ready on every node that it selects; the numbers count the nodes
// where it is. A pool that is being deleted waits until no volume of it exists, then leaves its
// nodes; what is on their drives stays.
#pragma once

#include <string>
#include <vector>

#include "absl/time/time.h"
#include "ashlar/agent/v1/node_agent.pb.h"
#include "ashlar/v1alpha1/pool.pb.h"
#include "controller/placement/placement.h"

namespace ashlar::controller {

struct PoolNodeFacts {
  std::string node;
  bool selected = false;
  bool observed_only = false;  // NodeInventory says that its drives are not to be used
  AgentState agent = AgentState::kNone;
  bool settling = false;
  std::string agent_detail;
  const agent::v1::PoolState* reported = nullptr;  // of a pool of this name
  int64_t in_flight_bytes = 0;
  int unhealthy_volumes = 0;
  // What this process asked of the agent last:
  int64_t ensured_generation = -1;
  bool unreported = false;  // to make it, and not to remove it since: it may be there
  std::string call_error;   // of the last call, if it failed
};

struct PoolFacts {
  v1alpha1::Pool pool;
  std::vector<PoolNodeFacts> nodes;  // sorted by name
  std::string selector_error;        // the node selector cannot be understood
  std::vector<std::string> volumes;  // that name the pool, while it is being deleted
};

// What is to be asked of the agent of a node.
enum class PoolStep { kNothing, kEnsure, kRemove };
PoolStep DecidePoolOnNode(const PoolFacts& facts, const PoolNodeFacts& node);

// Whether a pool that is being deleted can go now: no volumes, and no agent that answers has it.
bool CanReleasePool(const PoolFacts& facts);

agent::v1::EnsurePoolRequest EnsureRequest(const v1alpha1::Pool& pool);

// Writes all of the status.
void SetPoolStatus(PoolFacts& facts, absl::Time now);

// True if the two differ in nothing but bytes and counts of volumes: news that can wait.
bool DiffersOnlyInNumbers(const v1alpha1::PoolStatus& a, const v1alpha1::PoolStatus& b);

}  // namespace ashlar::controller
