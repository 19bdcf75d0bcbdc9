// Controller: a work queue, a reconciler and the threads that bring them together. Thread-safe.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "lib/base/clock.h"
#include "lib/metrics/metrics.h"
#include "lib/runtime/backoff.h"
#include "lib/runtime/cache.h"
#include "lib/runtime/reconciler.h"
#include "lib/runtime/work_queue.h"

namespace ashlar::runtime {

struct ControllerOptions {
  std::string name;  // the label `controller` of its metrics and log lines
  int workers = 1;
  absl::Duration reconcile_timeout = absl::Minutes(5);
  Backoff backoff;
};

// True if repeating cannot help until the object changes: InvalidArgument, Unimplemented.
bool IsTerminal(const absl::Status& status);

class Controller {
 public:
  // Everything that is borrowed must outlive the controller.
  Controller(ControllerOptions options, Reconciler& reconciler, Clock& clock,
             metrics::Registry& registry);

  // Queues the key of each object of `cache` that changes. Call before Run.
  void Watch(Cache& cache);
  // Queues what `keys` makes of the key of each object of `cache` that changes: the objects that
  // must look again when, say, a node has changed. `keys` must not block.
  void Watch(Cache& cache,
             std::function<std::vector<api::ObjectKey>(const api::ObjectKey& changed)> keys);

  // For sources of change that are no cache.
  WorkQueue& queue() { return queue_; }

  // Runs the workers until `stop` is requested; returns when the last reconcile has ended. A
  // reconcile that runs then sees its context stopped. Call it once.
  void Run(std::stop_token stop);

  const std::string& name() const { return options_.name; }

 private:
  void Work(std::stop_token stop);
  void ReconcileOne(const CallContext& context, const api::ObjectKey& key);
  void HandleError(const api::ObjectKey& key, const absl::Status& status);
  void Enqueue(const api::ObjectKey& key);

  const ControllerOptions options_;
  Reconciler& reconciler_;
  Clock& clock_;
  WorkQueue queue_;
  metrics::Histogram& durations_;
  metrics::Counter& errors_;
  metrics::Counter& terminal_errors_;
  metrics::Gauge& depth_;
};

}  // namespace ashlar::runtime
