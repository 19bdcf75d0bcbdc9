// OperationMetrics: how long the agent's operations take, and how many fail. Thread-safe.
#pragma once

#include <functional>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "lib/base/clock.h"
#include "lib/metrics/metrics.h"
#include "node-agent/volume/inventory_feed.h"

namespace ashlar::node_agent {

class OperationMetrics {
 public:
  // All series exist when it returns. `registry` and `clock` must outlive it.
  OperationMetrics(metrics::Registry& registry, Clock& clock);

  // Runs `operation` and counts it under `kind` ("carve", "stage", ...).
  template <class Operation>
  auto Measure(absl::string_view kind, Operation operation) -> decltype(operation()) {
    const absl::Time start = clock_.Now();
    auto result = operation();
    Count(kind, clock_.Now() - start, result.ok());
    return result;
  }

  // Sets the gauges of pools and volumes.
  void Show(const InventorySnapshot& inventory);

 private:
  void Count(absl::string_view kind, absl::Duration duration, bool ok);

  metrics::Registry& registry_;
  Clock& clock_;
};

}  // namespace ashlar::node_agent
