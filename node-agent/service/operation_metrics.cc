#include "node-agent/service/operation_metrics.h"

namespace ashlar::node_agent {
namespace {

constexpr char kBackend[] = "File";
constexpr char kSeconds[] = "ashlar_agent_operation_seconds";
constexpr char kSecondsHelp[] = "Duration of operations on volumes and pools.";
constexpr char kErrors[] = "ashlar_agent_operation_errors_total";
constexpr char kErrorsHelp[] = "Operations that failed.";
constexpr char kPoolBytes[] = "ashlar_pool_bytes";
constexpr char kPoolBytesHelp[] = "Bytes of a pool on this node by state.";

metrics::Labels LabelsOf(absl::string_view kind) {
  return {{"kind", std::string(kind)}, {"backend", kBackend}};
}

}  // namespace

OperationMetrics::OperationMetrics(metrics::Registry& registry, Clock& clock)
    : registry_(registry), clock_(clock) {
  for (const char* kind : {"ensure_pool", "remove_pool", "carve", "resize", "modify", "remove",
                           "stage", "unstage", "publish", "publish_inline", "unpublish", "expand",
                           "snapshot", "remove_snapshot", "prepare_claim", "unprepare_claim"}) {
    registry_.GetHistogram(kSeconds, kSecondsHelp, LabelsOf(kind));
    registry_.GetCounter(kErrors, kErrorsHelp, LabelsOf(kind));
  }
  Show({});
}

void OperationMetrics::Count(absl::string_view kind, absl::Duration duration, bool ok) {
  registry_.GetHistogram(kSeconds, kSecondsHelp, LabelsOf(kind)).Observe(duration);
  if (!ok) registry_.GetCounter(kErrors, kErrorsHelp, LabelsOf(kind)).Increment();
}

void OperationMetrics::Show(const InventorySnapshot& inventory) {
  for (const PoolStatus& pool : inventory.pools) {
    const auto set = [&](const char* state, int64_t bytes) {
      registry_.GetGauge(kPoolBytes, kPoolBytesHelp, {{"pool", pool.name}, {"state", state}})
          .Set(static_cast<double>(bytes));
    };
    set("capacity", pool.usage.capacity_bytes);
    set("allocated", pool.usage.allocated_bytes);
    set("allocatable", pool.usage.allocatable_bytes);
  }
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
