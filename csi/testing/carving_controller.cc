#include "csi/testing/carving_controller.h"

#include "lib/api/kinds.h"
#include "lib/kube/object.h"

namespace ashlar::csi_driver {
namespace {

using v1alpha1::Volume;

const api::KindInfo& Kind() { return api::Kind<Volume>(); }

}  // namespace

CarvingController::CarvingController(kube::Client& client)
    : client_(client), thread_([this](std::stop_token stop) { Run(std::move(stop)); }) {}

void CarvingController::SetReason(const std::string& reason) {
  MutexLock lock(mu_);
  reason_ = reason;
}

void CarvingController::SetNode(const std::string& node) {
  MutexLock lock(mu_);
  node_ = node;
}

void CarvingController::NoteSeen(const std::string& resource_version) {
  MutexLock lock(mu_);
  seen_ = resource_version;
  changed_.NotifyAll();
}

void CarvingController::AwaitSeen(const std::string& resource_version) {
  MutexLock lock(mu_);
  while (kube::CompareVersions(seen_, resource_version) < 0) changed_.Wait(mu_);
}

std::string CarvingController::reason() const {
  MutexLock lock(mu_);
  return reason_;
}

void CarvingController::Retry() {
  const auto list = client_.List({}, Kind(), {});
  for (const Json& object : list->items) Reconcile(object);
}

void CarvingController::Run(std::stop_token stop) {
  const CallContext context{.stop = stop};
  const auto list = client_.List(context, Kind(), {});
  std::string version = list->resource_version;
  for (const Json& object : list->items) Reconcile(object);
  while (!stop.stop_requested()) {
    (void)client_.Watch(context, Kind(), {.resource_version = version},
                        [&](kube::WatchEvent event) {
                          version = kube::VersionOf(event.object);
                          if (event.type == kube::WatchEvent::Type::kAdded ||
                              event.type == kube::WatchEvent::Type::kModified) {
                            Reconcile(event.object);
                          }
                          NoteSeen(version);
                          return absl::OkStatus();
                        });
  }
}

void CarvingController::Reconcile(const Json& object) {
  if (reason() == "-") return;
  Volume volume = *api::FromJson<Volume>(object);
  if (kube::IsBeingDeleted(object)) {
    Json free = object;
    free["metadata"]["finalizers"] = Json::array();
    (void)client_.Update({}, Kind(), free, kube::Subresource::kNone);
    return;
  }
  Carve(std::move(volume));
}

void CarvingController::Carve(Volume volume) {
  const std::string why = reason();
  if (why.empty() && volume.spec().node_name().empty()) {
    MutexLock lock(mu_);
    const bool free = volume.spec().allowed_nodes().empty();
    volume.mutable_spec()->set_node_name(free ? node_ : volume.spec().allowed_nodes(0));
    (void)client_.Update({}, Kind(), api::ToJson(volume), kube::Subresource::kNone);
    return;  // the change comes back as an event
  }
  for (const k8s::Condition& condition : volume.status().conditions()) {
    const bool same = condition.observed_generation() == volume.metadata().generation() &&
                      condition.reason() == (why.empty() ? "Carved" : why);
    if (same) return;
  }
  v1alpha1::VolumeStatus& status = *volume.mutable_status();
  status.clear_conditions();
  k8s::Condition& carved = *status.add_conditions();
  carved.set_type("Carved");
  carved.set_status(why.empty() ? "True" : "False");
  carved.set_reason(why.empty() ? "Carved" : why);
  carved.set_message("as the test has it");
  carved.set_observed_generation(volume.metadata().generation());
  carved.mutable_last_transition_time()->set_seconds(1);
  if (why.empty()) {
    status.set_size(volume.spec().size());
    *status.mutable_limits() = volume.spec().limits();
    status.set_trim(volume.spec().trim());
  }
  (void)client_.Update({}, Kind(), api::ToJson(volume), kube::Subresource::kStatus);
}

}  // namespace ashlar::csi_driver
