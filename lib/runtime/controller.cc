#include "lib/runtime/controller.h"

#include <thread>

#include "lib/base/log.h"

namespace ashlar::runtime {

bool IsTerminal(const absl::Status& status) {
  return absl::IsInvalidArgument(status) || absl::IsUnimplemented(status);
}

Controller::Controller(ControllerOptions options, Reconciler& reconciler, Clock& clock,
                       metrics::Registry& registry)
    : options_(std::move(options)),
      reconciler_(reconciler),
      clock_(clock),
      queue_(clock, options_.backoff),
      durations_(registry.GetHistogram("ashlar_reconcile_duration_seconds",
                                       "How long one reconcile took.",
                                       {{"controller", options_.name}})),
      errors_(registry.GetCounter("ashlar_reconcile_errors_total",
                                  "Reconciles that ended in an error.",
                                  {{"controller", options_.name}})),
      terminal_errors_(registry.GetCounter("ashlar_reconcile_terminal_errors_total",
                                           "Reconciles whose error waits for a change.",
                                           {{"controller", options_.name}})),
      depth_(registry.GetGauge("ashlar_work_queue_depth",
                               "Keys that are due and wait for a worker.",
                               {{"controller", options_.name}})) {}

void Controller::Enqueue(const api::ObjectKey& key) {
  queue_.Add(key);
  depth_.Set(queue_.depth());
}

void Controller::Watch(Cache& cache) {
  cache.AddHandler([this](const api::ObjectKey& key) { Enqueue(key); });
}

void Controller::Watch(
    Cache& cache, std::function<std::vector<api::ObjectKey>(const api::ObjectKey& changed)> keys) {
  cache.AddHandler([this, keys = std::move(keys)](const api::ObjectKey& changed) {
    for (const api::ObjectKey& key : keys(changed)) Enqueue(key);
  });
}

void Controller::Run(std::stop_token stop) {
  std::stop_callback shut_down(stop, [this] { queue_.ShutDown(); });
  std::vector<std::jthread> workers;
  workers.reserve(options_.workers);
  for (int i = 0; i < options_.workers; ++i) {
    workers.emplace_back([this, stop] { Work(stop); });
  }
  for (std::jthread& worker : workers) worker.join();
}

void Controller::Work(std::stop_token stop) {
  while (auto key = queue_.Get()) {
    depth_.Set(queue_.depth());
    // After a stop the queue still hands out what was ready: that is left for the next process.
    if (!stop.stop_requested()) {
      ReconcileOne(
          {.deadline = clock_.Now() + options_.reconcile_timeout, .stop = stop, .request_id = {}},
          *key);
    }
    queue_.Done(*key);
    depth_.Set(queue_.depth());
  }
}

void Controller::ReconcileOne(const CallContext& context, const api::ObjectKey& key) {
  const absl::Time began = clock_.Now();
  const absl::StatusOr<Action> action = reconciler_.Reconcile(context, key);
  durations_.Observe(clock_.Now() - began);
  if (context.stop.stop_requested()) return;
  if (!action.ok()) return HandleError(key, action.status());
  queue_.Forget(key);
  if (!action->awaits_change()) queue_.AddAfter(key, action->delay());
}

void Controller::HandleError(const api::ObjectKey& key, const absl::Status& status) {
  errors_.Increment();
  if (IsTerminal(status)) {
    terminal_errors_.Increment();
    LogError(
        "reconcile failed and waits for a change of the object",
        {{"controller", options_.name}, {"object", key.ToString()}, {"error", status.ToString()}});
    queue_.Forget(key);
    return;
  }
  queue_.AddRateLimited(key);
  // A conflict is everyday life: somebody else wrote first.
  Log(absl::IsAborted(status) ? LogLevel::kInfo : LogLevel::kWarning, "reconcile failed",
      {{"controller", options_.name},
       {"object", key.ToString()},
       {"failures", queue_.Failures(key)},
       {"error", status.ToString()}});
}

}  // namespace ashlar::runtime
