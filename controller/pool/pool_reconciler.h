// PoolReconciler: makes pools ready through the agents of the nodes that they select, and writes
// what the agents say of them into their status. What is to be done is decided in pool_plan.h.
// Thread-safe.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "controller/agents/agent_directory.h"
#include "controller/objects/event_sink.h"
#include "controller/objects/object_writer.h"
#include "controller/pool/node_offers.h"
#include "controller/pool/pool_plan.h"
#include "lib/base/clock.h"
#include "lib/base/mutex.h"
#include "lib/metrics/metrics.h"
#include "lib/runtime/cache.h"
#include "lib/runtime/reconciler.h"

namespace ashlar::controller {

// All must outlive the reconciler.
struct PoolReconcilerParts {
  const runtime::Cache& pools;
  const runtime::Cache& volumes;
  const runtime::Cache& nodes;
  const runtime::Cache& node_inventories;
  ObjectWriter& writer;  // of pools
  const AgentDirectory& agents;
  const NodeOffers& offers;
  CapacityLedger& ledger;
  EventSink& events;
  Clock& clock;
  metrics::Registry& metrics;
};

struct PoolReconcilerOptions {
  absl::Duration agent_timeout = absl::Minutes(5);  // formatting a large drive takes its time
  int parallel_calls = 16;
  // A node where the pool is not ready is asked again this often.
  absl::Duration slow_retry = absl::Seconds(15);
  // Numbers that change are written no more often than this.
  absl::Duration numbers_every = absl::Seconds(1);
};

class PoolReconciler final : public runtime::Reconciler {
 public:
  PoolReconciler(PoolReconcilerOptions options, PoolReconcilerParts parts);

  absl::StatusOr<runtime::Action> Reconcile(const CallContext& context,
                                            const api::ObjectKey& key) override;

 private:
  // What was asked of an agent last.
  struct Asked {
    int64_t generation = -1;
    bool unreported = false;  // as PoolNodeFacts has it
    std::string error;
    absl::Time at = absl::InfinitePast();
    agent::v1::PoolState answer;
  };
  struct Pass {
    CallContext context;
    runtime::ObjectPtr object;
    v1alpha1::PoolStatus status_before;
    PoolFacts facts;
    std::vector<AgentView> agents;       // of facts.nodes; keeps what they point to
    std::map<std::string, Asked> asked;  // by node
  };
  using Result = absl::StatusOr<runtime::Action>;

  absl::StatusOr<Pass> Gather(const CallContext& context, runtime::ObjectPtr object);
  void GatherNode(Pass& pass, const std::string& node, const PoolSelection* selection);
  std::vector<std::string> VolumesOf(const std::string& pool) const;
  // Asks the agents in parallel, and puts their answers into the facts.
  void AskAgents(Pass& pass);
  void AskAgent(Pass& pass, PoolNodeFacts& node, PoolStep step, Asked& asked);
  Result Finish(Pass& pass);
  Result FinishDeletion(Pass& pass);
  absl::Status WriteStatus(Pass& pass);
  void PublishTurns(const Pass& pass);
  void ShowMetrics(const v1alpha1::Pool& pool);
  void Forget(const std::string& pool);

  const PoolReconcilerOptions options_;
  const PoolReconcilerParts parts_;

  Mutex mu_;
  // What is remembered of a pool between two reconciles, by uid, because a name can come again.
  struct Memory {
    std::map<std::string, Asked> asked;
    absl::Time written = absl::InfinitePast();
  };
  absl::flat_hash_map<std::string, Memory> memory_ ABSL_GUARDED_BY(mu_);
};

}  // namespace ashlar::controller
