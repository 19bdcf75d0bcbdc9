// NodeOffers: the nodes as placement sees them, from what the caches and the agents say now.
// Thread-safe.
#pragma once

#include <vector>

#include "absl/container/flat_hash_map.h"
#include "controller/agents/agent_directory.h"
#include "controller/placement/placement.h"
#include "controller/pool/pool_selection.h"
#include "lib/base/mutex.h"
#include "lib/runtime/cache.h"

namespace ashlar::controller {

class NodeOffers {
 public:
  // Both must outlive this object.
  NodeOffers(const runtime::Cache& nodes, const AgentDirectory& agents)
      : nodes_(nodes), agents_(agents) {}

  // Every node, or only those that the request could be given. What the ledger knows is not in.
  // InvalidArgument: the pool's node selector.
  absl::StatusOr<std::vector<NodeOffer>> For(const v1alpha1::Pool& pool,
                                             const VolumeRequest& request) const;

  // Names of the nodes that exist or have an agent, each once, sorted.
  std::vector<std::string> Names() const;

  // True if there is a Node object, or an agent that was found there.
  bool Exists(const std::string& node) const;

 private:
  const runtime::Cache& nodes_;
  const AgentDirectory& agents_;
};

}  // namespace ashlar::controller
