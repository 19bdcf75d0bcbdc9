// What the NodeInventory of one node says: decided from facts alone.
#pragma once

#include <string>

#include "absl/time/time.h"
#include "ashlar/agent/v1/node_agent.pb.h"
#include "ashlar/v1alpha1/node_inventory.pb.h"
#include "controller/placement/placement.h"

namespace ashlar::controller {

struct NodeInventoryFacts {
  bool exists = false;             // the NodeInventory object
  v1alpha1::NodeInventory object;  // of `exists`
  bool node_exists = false;        // the Node object, or an agent that was found there
  AgentState agent = AgentState::kNone;
  bool settling = false;
  std::string agent_detail;
  absl::Time last_heard = absl::InfinitePast();
  // Who else hands out the node's GPUs; empty: nobody.
  std::string other_gpu_owner;
  const agent::v1::Inventory* inventory = nullptr;  // the last one, also of a silent agent
};

enum class NodeInventoryStep {
  kNothing,
  kCreate,  // then kUpdate
  kUpdate,
  kDelete,
};
NodeInventoryStep DecideNodeInventory(const NodeInventoryFacts& facts);

// Writes all of the status. status.lastHeard is moved only if it is older than `throttle`, so that
// a heartbeat is not a write.
void SetNodeInventoryStatus(NodeInventoryFacts& facts, absl::Duration throttle, absl::Time now);

}  // namespace ashlar::controller
