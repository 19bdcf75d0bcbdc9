// CompositionController: what the leader does for Compositions: their reconciler, and the changes
// that it heeds. Thread-safe.
#pragma once

#include <stop_token>
#include <string>

#include "controller/composition/composition_reconciler.h"
#include "controller/objects/change_filter.h"
#include "lib/metrics/metrics.h"
#include "lib/runtime/controller.h"
#include "lib/runtime/informer.h"

namespace ashlar::controller {

// All must outlive the controller.
struct CompositionParts {
  kube::Client& client;
  runtime::Informer& compositions;
  runtime::Informer& classes;
  runtime::Informer& volumes;
  runtime::Informer& gpu_partitions;
  runtime::Informer* claims;         // nullptr: as in CompositionSources
  runtime::Informer* nvidia_slices;  // likewise
  runtime::Informer& node_inventories;
  runtime::Informer& nodes;
  ObjectWriter& volume_writer;
  const AgentDirectory& agents;
  EventSink& events;
  Clock& clock;
  metrics::Registry& metrics;
};

class CompositionController {
 public:
  CompositionController(const CompositionReconcilerOptions& options, const CompositionParts& parts);

  // Call it once, before Run.
  void WatchCaches();
  // Returns when the last reconcile has ended.
  void Run(std::stop_token stop);

  // Those that have no devices yet look again. Does not block.
  void QueueWaiting();
  // Those that have members on the node look again. Does not block.
  void QueueMembersOf(const std::string& node);

 private:
  void QueueOwnerOf(const runtime::Cache& cache, const api::ObjectKey& key);

  const CompositionParts parts_;
  ObjectWriter writer_;
  CompositionReconciler reconciler_;
  runtime::Controller controller_;
  ChangeFilter node_inventory_filter_;
};

}  // namespace ashlar::controller
