// GpuPartitionReconciler: chooses parts of GPUs for GPUPartitions, makes the ResourceClaims for
// them, and tells how they are. What is to be done is decided in gpu_partition_plan.h. One key at a
// time: a choice must be seen by the next one. Thread-safe.
#pragma once

#include "controller/agents/agent_directory.h"
#include "controller/gpu_partition/gpu_partition_plan.h"
#include "controller/objects/event_sink.h"
#include "controller/objects/object_writer.h"
#include "lib/base/clock.h"
#include "lib/runtime/cache.h"
#include "lib/runtime/reconciler.h"

namespace ashlar::controller {

// All must outlive the reconciler.
struct GpuPartitionReconcilerParts {
  kube::Client& client;
  const runtime::Cache& gpu_partitions;
  const runtime::Cache& compositions;
  const runtime::Cache* claims;  // nullptr: the API server does not serve resource.k8s.io/v1
  const runtime::Cache& node_inventories;
  const runtime::Cache& nodes;
  ObjectWriter& writer;  // of GPUPartitions
  const AgentDirectory& agents;
  EventSink& events;
  Clock& clock;
};

struct GpuPartitionReconcilerOptions {
  // How often is looked for what nobody tells of, and tried again what did not go.
  absl::Duration look = absl::Seconds(30);
};

class GpuPartitionReconciler final : public runtime::Reconciler {
 public:
  GpuPartitionReconciler(GpuPartitionReconcilerOptions options, GpuPartitionReconcilerParts parts)
      : options_(options), parts_(parts) {}

  absl::StatusOr<runtime::Action> Reconcile(const CallContext& context,
                                            const api::ObjectKey& key) override;

 private:
  struct Pass {
    const CallContext& context;
    runtime::ObjectPtr object;
    GpuPartitionFacts facts;
    // Held for `facts`.
    std::vector<std::shared_ptr<const AgentReport>> reports;
    v1alpha1::GPUPartitionStatus status_before;
  };
  using Result = absl::StatusOr<runtime::Action>;

  Result Refuse(Pass& pass, const std::string& reason, const std::string& message);
  absl::Status Gather(Pass& pass, const api::ObjectKey& key) const;
  absl::Status GatherNodes(Pass& pass) const;
  Result Act(Pass& pass, const GpuPartitionDecision& decision);
  Result MakeClaim(Pass& pass);
  Result DropClaim(Pass& pass);
  absl::Status WriteStatus(Pass& pass);

  const GpuPartitionReconcilerOptions options_;
  const GpuPartitionReconcilerParts parts_;
};

}  // namespace ashlar::controller
