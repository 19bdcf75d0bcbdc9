// OperationMetrics: how long the agent's operations take, and how many fail, by backend.
// Thread-safe.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "lib/base/clock.h"
#include "lib/base/mutex.h"
#include "lib/metrics/metrics.h"
#include "node-agent/volume/inventory_feed.h"

namespace ashlar::node_agent {

class OperationMetrics {
 public:
  // The series of what has no backend exist when it returns, those of a backend when its first pool
  // is shown. `registry` and `clock` must outlive it.
  OperationMetrics(metrics::Registry& registry, Clock& clock);

  // Runs `operation` and counts it under `kind` ("carve", "stage", ...) and `backend` ("File", ...;
  // empty: none, or nobody knows).
  template <class Operation>
  auto Measure(absl::string_view kind, absl::string_view backend, Operation operation)
      -> decltype(operation()) {
    const absl::Time start = clock_.Now();
    auto result = operation();
    Count(kind, backend, clock_.Now() - start, result.ok());
    return result;
  }

  // Of a pool that was shown; empty if it was not.
  std::string BackendOf(const std::string& pool) const;
  std::string BackendOf(const std::optional<VolumeStatus>& volume) const;

  // Sets the gauges of pools and volumes, and ends those of pools that are gone.
  void Show(const InventorySnapshot& inventory);

 private:
  void Count(absl::string_view kind, absl::string_view backend, absl::Duration duration, bool ok);
  void MakeSeries(absl::string_view backend);
  void ShowPools(const std::vector<PoolStatus>& pools);

  metrics::Registry& registry_;
  Clock& clock_;
  mutable Mutex mu_;
  std::map<std::string, std::string> backends_ ABSL_GUARDED_BY(mu_);  // by pool
};

}  // namespace ashlar::node_agent
