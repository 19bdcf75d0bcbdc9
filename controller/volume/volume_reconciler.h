// VolumeReconciler: carves, grows and removes volumes through the agents, and writes what is known
// of them into their status. What is to be done is decided in volume_plan.h. Thread-safe.
#pragma once

#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "controller/agents/agent_directory.h"
#include "controller/agents/call_limit.h"
#include "controller/objects/event_sink.h"
#include "controller/objects/object_writer.h"
#include "controller/pool/node_offers.h"
#include "controller/volume/volume_plan.h"
#include "lib/base/clock.h"
#include "lib/base/mutex.h"
#include "lib/metrics/metrics.h"
#include "lib/runtime/cache.h"
#include "lib/runtime/reconciler.h"

namespace ashlar::controller {

// All must outlive the reconciler.
struct VolumeReconcilerParts {
  const runtime::Cache& volumes;
  const runtime::Cache& pools;
  const runtime::Cache& snapshots;
  ObjectWriter& writer;  // of volumes
  const AgentDirectory& agents;
  const NodeOffers& nodes;
  CapacityLedger& ledger;
  EventSink& events;
  Clock& clock;
  metrics::Registry& metrics;
  // The bytes in flight of a pool have changed. Must not block.
  std::function<void(const std::string& pool)> promised;
  // Bytes of the pool are free that no report will tell of. Must not block.
  std::function<void(const std::string& pool)> released;
  // The volume waited for its node's agent and may go on. Must not block.
  std::function<void(const std::string& volume)> wake;
  // NAMESPACE/NAME of a ResourceClaim that holds the volume as it is; empty: none does.
  std::function<std::string(const std::string& volume)> holder;
};

struct VolumeReconcilerOptions {
  // A call to an agent takes no longer than this.
  absl::Duration agent_timeout = absl::Minutes(2);
  // Calls to the agent of one node at once. Volumes above that wait without a worker.
  int calls_per_node = 8;
  // How long a node must have had neither a Node object nor an agent to be gone for good.
  absl::Duration node_gone_after = absl::Minutes(1);
  // How often a volume is tried again that waits for something that may not be told of.
  absl::Duration slow_retry = absl::Seconds(30);
  // The same, where only looking tells and looking costs nothing.
  absl::Duration quick_retry = absl::Seconds(2);
};

class VolumeReconciler final : public runtime::Reconciler {
 public:
  VolumeReconciler(VolumeReconcilerOptions options, VolumeReconcilerParts parts);

  absl::StatusOr<runtime::Action> Reconcile(const CallContext& context,
                                            const api::ObjectKey& key) override;

  // Promises the bytes of every volume that has a node and is not complete: what a process that ran
  // before may have begun. Call it before the first Reconcile, when the cache is in.
  void PromiseUnfinished();

  // Volumes that wait for room, of one pool or, for "", of any. Who sees that there may be more
  // room queues them.
  std::vector<api::ObjectKey> Waiting(const std::string& pool) const;

 private:
  // What one reconcile works on.
  struct Pass {
    CallContext context;
    runtime::ObjectPtr object;
    v1alpha1::VolumeStatus status_before;
    VolumeFacts facts;
    v1alpha1::Pool pool;
    AgentView agent;
    absl::Duration node_absent = absl::ZeroDuration();

    const std::string& name() const { return facts.volume.metadata().name(); }
    const std::string& node() const { return facts.volume.spec().node_name(); }
  };
  using Result = absl::StatusOr<runtime::Action>;

  absl::StatusOr<Pass> Gather(const CallContext& context, runtime::ObjectPtr object);
  void GatherAgent(Pass& pass);
  absl::Status GatherSource(Pass& pass);
  Result Act(Pass& pass, const VolumeDecision& decision);
  Result Place(Pass& pass);
  Result Carve(Pass& pass);
  Result Grow(Pass& pass);
  Result Modify(Pass& pass);
  Result Remove(Pass& pass);
  Result Abandon(Pass& pass);
  Result AwaitAgent(Pass& pass, const VolumeDecision& decision);
  Result Refuse(Pass& pass, const std::string& reason, const std::string& message);
  // Writes the failure of an agent's call into the status and says what follows.
  Result Failed(Pass& pass, const absl::Status& status, const char* doing);
  Result Finish(Pass& pass);

  absl::Status WriteStatus(Pass& pass);
  absl::Status WriteNode(Pass& pass, const std::string& node);
  void PublishTurns(const Pass& pass);
  void Publish(const Pass& pass, EventSink::Type type, absl::string_view reason,
               absl::string_view message);
  CallContext AgentContext(const Pass& pass) const;
  // A promise of bytes that the spec does not ask for any more.
  void ReleaseUnwanted(const Pass& pass);
  void Gone(const api::ObjectKey& key);
  absl::Duration NodeAbsentFor(const std::string& node);
  void SetWaiting(const std::string& volume, const std::string& pool, bool waiting);

  const VolumeReconcilerOptions options_;
  const VolumeReconcilerParts parts_;
  metrics::Histogram& carve_seconds_;
  metrics::Counter& refusals_;
  metrics::Gauge& waiting_gauge_;
  CallLimit calls_;

  mutable Mutex mu_;
  absl::flat_hash_map<std::string, std::string> waiting_ ABSL_GUARDED_BY(mu_);  // volume to pool
  absl::flat_hash_map<std::string, absl::Time> absent_since_ ABSL_GUARDED_BY(mu_);  // by node
};

}  // namespace ashlar::controller
