#include "node-agent/service/operation_metrics.h"

#include <utility>

namespace ashlar::node_agent {
namespace {

constexpr char kSeconds[] = "ashlar_agent_operation_seconds";
constexpr char kSecondsHelp[] = "Duration of operations on volumes and pools.";
constexpr char kErrors[] = "ashlar_agent_operation_errors_total";
constexpr char kErrorsHelp[] = "Operations that failed.";
constexpr char kPoolBytes[] = "ashlar_agent_pool_bytes";
constexpr char kPoolBytesHelp[] = "Bytes of a pool on this node by state.";
constexpr const char* kOfBackends[] = {"ensure_pool",     "remove_pool",   "carve",  "resize",
                                       "modify",          "remove",        "stage",  "unstage",
                                       "publish",         "unpublish",     "expand", "snapshot",
                                       "remove_snapshot", "publish_inline"};
constexpr const char* kOfNone[] = {"prepare_claim", "unprepare_claim"};

metrics::Labels LabelsOf(absl::string_view kind, absl::string_view backend) {
  return {{"kind", std::string(kind)}, {"backend", std::string(backend)}};
}

std::map<const char*, int64_t> BytesOf(const PoolStatus& pool) {
  return {{"capacity", pool.usage.capacity_bytes},
          {"allocated", pool.usage.allocated_bytes},
          {"allocatable", pool.usage.allocatable_bytes}};
}

metrics::Labels PoolLabels(const std::string& pool, const char* state) {
  return {{"pool", pool}, {"state", state}};
}

}  // namespace

OperationMetrics::OperationMetrics(metrics::Registry& registry, Clock& clock)
    : registry_(registry), clock_(clock) {
  for (const char* kind : kOfNone) {
    registry_.GetHistogram(kSeconds, kSecondsHelp, LabelsOf(kind, ""));
    registry_.GetCounter(kErrors, kErrorsHelp, LabelsOf(kind, ""));
  }
  Show({});
}

void OperationMetrics::MakeSeries(absl::string_view backend) {
  for (const char* kind : kOfBackends) {
    registry_.GetHistogram(kSeconds, kSecondsHelp, LabelsOf(kind, backend));
    registry_.GetCounter(kErrors, kErrorsHelp, LabelsOf(kind, backend));
  }
}

void OperationMetrics::Count(absl::string_view kind, absl::string_view backend,
                             absl::Duration duration, bool ok) {
  registry_.GetHistogram(kSeconds, kSecondsHelp, LabelsOf(kind, backend)).Observe(duration);
  if (!ok) registry_.GetCounter(kErrors, kErrorsHelp, LabelsOf(kind, backend)).Increment();
}

std::string OperationMetrics::BackendOf(const std::string& pool) const {
  MutexLock lock(mu_);
  const auto found = backends_.find(pool);
  return found == backends_.end() ? std::string() : found->second;
}

std::string OperationMetrics::BackendOf(const std::optional<VolumeStatus>& volume) const {
  return volume ? BackendOf(volume->facts.pool) : std::string();
}

void OperationMetrics::ShowPools(const std::vector<PoolStatus>& pools) {
  std::map<std::string, std::string> backends;
  for (const PoolStatus& pool : pools) {
    backends[pool.name] = std::string(BackendName(pool.backend));
    MakeSeries(backends[pool.name]);
    for (const auto& [state, bytes] : BytesOf(pool))
      registry_.GetGauge(kPoolBytes, kPoolBytesHelp, PoolLabels(pool.name, state))
          .Set(static_cast<double>(bytes));
  }
  MutexLock lock(mu_);
  for (const auto& [pool, backend] : backends_) {
    if (backends.count(pool) > 0) continue;
    for (const auto& [state, bytes] : BytesOf({}))
      registry_.RemoveGauge(kPoolBytes, PoolLabels(pool, state));
  }
  backends_ = std::move(backends);
}

void OperationMetrics::Show(const InventorySnapshot& inventory) {
  ShowPools(inventory.pools);
  double staged = 0, unhealthy = 0;
  for (const VolumeStatus& volume : inventory.volumes) {
    staged += volume.staged ? 1 : 0;
    unhealthy += volume.healthy ? 0 : 1;
  }
  const auto volumes = [&](const char* state, double count) {
    registry_.GetGauge("ashlar_agent_volumes", "Volumes on this node by state.", {{"state", state}})
        .Set(count);
  };
  volumes("all", static_cast<double>(inventory.volumes.size()));
  volumes("staged", staged);
  volumes("unhealthy", unhealthy);
}

}  // namespace ashlar::node_agent
