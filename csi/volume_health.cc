#include "csi/volume_health.h"

#include "absl/strings/str_cat.h"
#include "csi/carve_outcome.h"

namespace ashlar::csi_driver {
namespace {

void AddEntry(csi::v1::VolumeHealthErrorType type, const std::string& reason,
              const std::string& message, csi::v1::VolumeHealth& health) {
  auto& entry = *health.add_health_statuses();
  entry.set_status(type);
  entry.set_reason(reason);
  entry.set_message(message);
}

// The reasons of VolumeState in proto/ashlar/agent/v1, and of the condition Healthy.
csi::v1::VolumeHealthErrorType TypeOf(const std::string& reason) {
  for (const char* lost : {"VolumeLost", "FilesystemDamaged"})
    if (reason == lost) return csi::v1::DATA_LOSS;
  for (const char* away : {"PoolNotReady", "DriveMissing", "StaleMount", "FilesystemStopped"})
    if (reason == away) return csi::v1::INACCESSIBLE;
  return csi::v1::DEGRADED;
}

// A pool that is ready may say that drives leave it, as it was asked to.
bool IsWell(const agent::v1::PoolState& pool) {
  return pool.ready() && (pool.reason().empty() || pool.reason() == "Draining");
}

}  // namespace

VolumeCondition ConditionOf(const v1alpha1::Volume& volume) {
  const k8s::Condition* healthy = FindCondition(volume, "Healthy");
  if (healthy == nullptr) return {false, "nothing is known of the volume's health yet"};
  if (healthy->status() == "True") return {false, "the volume is healthy"};
  return {healthy->status() == "False", absl::StrCat(healthy->reason(), ": ", healthy->message())};
}

csi::v1::VolumeHealth HealthOf(const v1alpha1::Volume& volume) {
  csi::v1::VolumeHealth health;
  health.set_volume_id(volume.metadata().name());
  const k8s::Condition* healthy = FindCondition(volume, "Healthy");
  if (healthy != nullptr && healthy->status() == "False") {
    AddEntry(TypeOf(healthy->reason()), healthy->reason(), healthy->message(), health);
  }
  return health;
}

csi::v1::VolumeHealth HealthOf(const agent::v1::VolumeState& state) {
  csi::v1::VolumeHealth health;
  health.set_volume_id(state.volume_id());
  const std::string reason = state.reason().empty() ? "Unhealthy" : state.reason();
  if (!state.healthy()) AddEntry(TypeOf(reason), reason, state.message(), health);
  return health;
}

csi::v1::NodeGetStorageHealthResponse StorageHealthOf(const agent::v1::GetHealthResponse& health) {
  csi::v1::NodeGetStorageHealthResponse response;
  for (const agent::v1::PoolState& pool : health.pools()) {
    if (IsWell(pool)) continue;
    auto& entry = *response.add_backend_health();
    entry.set_status(pool.ready() ? csi::v1::STORAGE_DEGRADED : csi::v1::STORAGE_UNREACHABLE);
    // No two entries may have the same reason, and every pool may have one.
    entry.set_reason(absl::StrCat(pool.reason(), "/", pool.name()));
    entry.set_message(absl::StrCat("pool ", pool.name(), ": ", pool.message()));
  }
  return response;
}

}  // namespace ashlar::csi_driver
