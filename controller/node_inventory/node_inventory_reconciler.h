// NodeInventoryReconciler: writes what the agent of a node reports into the NodeInventory of its
// name, says when the agent falls silent, and tells of volumes that no Volume object speaks of.
// Those are never deleted: they may be all that is left of somebody's data. Thread-safe.
#pragma once

#include <functional>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "controller/agents/agent_directory.h"
#include "controller/node_inventory/node_inventory_plan.h"
#include "controller/objects/event_sink.h"
#include "controller/objects/object_writer.h"
#include "controller/pool/node_offers.h"
#include "lib/base/clock.h"
#include "lib/base/mutex.h"
#include "lib/metrics/metrics.h"
#include "lib/runtime/cache.h"
#include "lib/runtime/reconciler.h"

namespace ashlar::controller {

// All must outlive the reconciler.
struct NodeInventoryReconcilerParts {
  kube::Client& client;
  const runtime::Cache& node_inventories;
  const runtime::Cache& volumes;
  ObjectWriter& writer;  // of node inventories
  AgentDirectory& agents;
  const NodeOffers& nodes;
  EventSink& events;
  Clock& clock;
  metrics::Registry& metrics;
  // The agent of the node fell silent or is heard again. Must not block.
  std::function<void(const std::string& node)> freshness_changed;
  // Who else hands out the node's GPUs; empty: nobody.
  std::function<std::string(const std::string& node)> other_gpu_owner;
};

struct NodeInventoryReconcilerOptions {
  absl::Duration last_heard_every = absl::Minutes(1);
  // A volume that is reported for this long without a Volume object is told of.
  absl::Duration unknown_after = absl::Seconds(60);
};

class NodeInventoryReconciler final : public runtime::Reconciler {
 public:
  NodeInventoryReconciler(NodeInventoryReconcilerOptions options,
                          NodeInventoryReconcilerParts parts);

  absl::StatusOr<runtime::Action> Reconcile(const CallContext& context,
                                            const api::ObjectKey& key) override;

 private:
  struct Unknown {
    absl::Time since;
    bool told = false;
  };
  using UnknownVolumes = absl::flat_hash_map<std::string, Unknown>;

  absl::Status Update(const CallContext& context, NodeInventoryFacts& facts,
                      const runtime::ObjectPtr& object);
  absl::Status Create(const CallContext& context, const std::string& node,
                      NodeInventoryFacts& facts, runtime::ObjectPtr& object);
  // True if some volume is unknown but not for long enough yet.
  bool LookForUnknownVolumes(const std::string& node, const agent::v1::Inventory& inventory,
                             const Json& object);
  void NoteFreshness(const std::string& node, bool heard);
  runtime::Action Next(const AgentView& agent, bool unknown_pending) const;

  const NodeInventoryReconcilerOptions options_;
  const NodeInventoryReconcilerParts parts_;
  metrics::Counter& unknown_volumes_;

  Mutex mu_;
  absl::flat_hash_map<std::string, bool> heard_ ABSL_GUARDED_BY(mu_);
  absl::flat_hash_map<std::string, UnknownVolumes> unknown_ ABSL_GUARDED_BY(mu_);  // by node
};

}  // namespace ashlar::controller
