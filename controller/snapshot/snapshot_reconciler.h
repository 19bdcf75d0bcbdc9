// SnapshotReconciler and SnapshotGroupReconciler: have snapshots taken and removed by the agents,
// and write what is known of them into their status. What is to be done is decided in
// snapshot_plan.h. Thread-safe.
#pragma once

#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "controller/agents/agent_directory.h"
#include "controller/objects/event_sink.h"
#include "controller/objects/object_writer.h"
#include "controller/pool/node_offers.h"
#include "controller/snapshot/snapshot_plan.h"
#include "lib/runtime/cache.h"
#include "lib/runtime/controller.h"

namespace ashlar::controller {

// All must outlive the reconcilers.
struct SnapshotReconcilerParts {
  kube::Client& client;
  const runtime::Cache& snapshots;
  const runtime::Cache& groups;
  const runtime::Cache& volumes;
  ObjectWriter& snapshot_writer;
  ObjectWriter& group_writer;
  const AgentDirectory& agents;
  const NodeOffers& nodes;
  EventSink& events;
  Clock& clock;
};

struct SnapshotReconcilerOptions {
  absl::Duration agent_timeout = absl::Minutes(2);
  absl::Duration node_gone_after = absl::Minutes(1);
  absl::Duration slow_retry = absl::Seconds(30);
  absl::Duration quick_retry = absl::Seconds(1);
};

class SnapshotReconciler final : public runtime::Reconciler {
 public:
  SnapshotReconciler(SnapshotReconcilerOptions options, SnapshotReconcilerParts parts)
      : options_(options), parts_(parts) {}
  absl::StatusOr<runtime::Action> Reconcile(const CallContext& context,
                                            const api::ObjectKey& key) override;

 private:
  struct Pass {
    CallContext context;
    runtime::ObjectPtr object;
    v1alpha1::SnapshotStatus status_before;
    SnapshotFacts facts;
    AgentView agent;

    const std::string& name() const { return facts.snapshot.metadata().name(); }
    const std::string& node() const { return facts.snapshot.spec().node_name(); }
  };
  using Result = absl::StatusOr<runtime::Action>;

  absl::StatusOr<Pass> Gather(const CallContext& context, runtime::ObjectPtr object);
  Result Act(Pass& pass, const SnapshotDecision& decision);
  Result Take(Pass& pass);
  Result Remove(Pass& pass);
  Result Abandon(Pass& pass);
  Result Refuse(Pass& pass, const SnapshotDecision& decision, absl::Duration again);
  absl::Status WriteStatus(Pass& pass);
  bool GoneForGood(const std::string& node);

  const SnapshotReconcilerOptions options_;
  const SnapshotReconcilerParts parts_;
  Mutex mu_;
  absl::flat_hash_map<std::string, absl::Time> absent_since_ ABSL_GUARDED_BY(mu_);  // by node
};

class SnapshotGroupReconciler final : public runtime::Reconciler {
 public:
  SnapshotGroupReconciler(SnapshotReconcilerOptions options, SnapshotReconcilerParts parts)
      : options_(options), parts_(parts) {}
  absl::StatusOr<runtime::Action> Reconcile(const CallContext& context,
                                            const api::ObjectKey& key) override;

 private:
  struct Pass {
    CallContext context;
    runtime::ObjectPtr object;
    v1alpha1::SnapshotGroup group;
    v1alpha1::SnapshotGroupStatus status_before;
  };
  using Result = absl::StatusOr<runtime::Action>;

  Result Remove(Pass& pass);
  Result Take(Pass& pass);
  // The members' objects as they are; makes those that there are not.
  absl::StatusOr<std::vector<Json>> EnsureMembers(Pass& pass);
  absl::Status WriteTaken(Pass& pass, const std::vector<Json>& members,
                          const agent::v1::EnsureSnapshotsResponse& taken);
  Result Finish(Pass& pass, bool ready, const std::string& reason, const std::string& message,
                runtime::Action action);

  const SnapshotReconcilerOptions options_;
  const SnapshotReconcilerParts parts_;
};

}  // namespace ashlar::controller
