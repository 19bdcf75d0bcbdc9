// SlicesReconciler: publishes the devices of each node as ResourceSlices of our DRA drivers. Keys
// are names of nodes. What is published is decided in drive_devices.h and gpu_devices.h, in which
// writes in slice_pool.h. Thread-safe.
#pragma once

#include <functional>
#include <string>

#include "controller/agents/agent_directory.h"
#include "controller/slices/gpu_devices.h"
#include "controller/slices/offered_volumes.h"
#include "controller/slices/slice_pool.h"
#include "lib/base/clock.h"
#include "lib/base/mutex.h"
#include "lib/kube/client.h"
#include "lib/metrics/metrics.h"
#include "lib/runtime/informer.h"
#include "lib/runtime/reconciler.h"

namespace ashlar::controller {

// All must outlive the reconciler.
struct SlicesReconcilerParts {
  kube::Client& client;
  runtime::Informer& nvme_slices;
  runtime::Informer& gpu_slices;
  const runtime::Cache& nvidia_slices;
  const runtime::Cache& claims;
  const runtime::Cache& volumes;
  const OfferedVolumes& offered;
  const runtime::Cache& nodes;
  const runtime::Cache& node_inventories;
  const runtime::Cache& compositions;
  const AgentDirectory& agents;
  Clock& clock;
  metrics::Registry& metrics;
};

class SlicesReconciler final : public runtime::Reconciler {
 public:
  explicit SlicesReconciler(const SlicesReconcilerParts& parts);

  absl::StatusOr<runtime::Action> Reconcile(const CallContext& context,
                                            const api::ObjectKey& key) override;

 private:
  struct Pass {
    CallContext context;
    std::string node;
    std::string node_uid;
    AgentView agent;
    absl::Time until = absl::InfiniteFuture();  // when to look again without being told
  };

  absl::Status PublishDrives(Pass& pass);
  absl::Status PublishGpus(Pass& pass);
  absl::Status Publish(const Pass& pass, const char* driver, runtime::Informer& slices,
                       const std::vector<SliceContent>& contents);
  absl::Status Write(const Pass& pass, runtime::Informer& slices, const SliceWrite& write);
  std::vector<ReservedPlace> ReservedOn(const std::string& node) const;
  bool GpusAreOurs(const std::string& node) const;

  DroppedFields Dropped();

  const SlicesReconcilerParts parts_;
  metrics::Counter& writes_;
  Mutex mu_;
  DroppedFields dropped_ ABSL_GUARDED_BY(mu_);
};

// Slices of the cache that are of the node.
std::vector<Json> SlicesOf(const runtime::Cache& slices, const std::string& node);

}  // namespace ashlar::controller
