#include "csi/testing/taking_controller.h"

#include "lib/api/kinds.h"
#include "lib/kube/object.h"

namespace ashlar::csi_driver {

TakingController::TakingController(kube::Client& client)
    : client_(client),
      snapshots_([this](std::stop_token stop) { Run(api::Kind<v1alpha1::Snapshot>(), stop); }),
      groups_([this](std::stop_token stop) { Run(api::Kind<v1alpha1::SnapshotGroup>(), stop); }) {}

void TakingController::SetReason(const std::string& reason) {
  MutexLock lock(mu_);
  reason_ = reason;
}

void TakingController::Run(const api::KindInfo& kind, std::stop_token stop) {
  const CallContext context{.stop = stop};
  const auto list = client_.List(context, kind, {});
  std::string version = list->resource_version;
  for (const Json& object : list->items) Reconcile(kind, object);
  while (!stop.stop_requested()) {
    (void)client_.Watch(context, kind, {.resource_version = version}, [&](kube::WatchEvent event) {
      version = kube::VersionOf(event.object);
      if (event.type == kube::WatchEvent::Type::kAdded ||
          event.type == kube::WatchEvent::Type::kModified)
        Reconcile(kind, event.object);
      return absl::OkStatus();
    });
  }
}

void TakingController::Reconcile(const api::KindInfo& kind, const Json& object) {
  std::string reason;
  {
    MutexLock lock(mu_);
    reason = reason_;
  }
  if (kube::IsBeingDeleted(object)) {
    Json free = object;
    free["metadata"]["finalizers"] = Json::array();
    (void)client_.Update({}, kind, free, kube::Subresource::kNone);
    return;
  }
  if (FindJson(object, {"status", "conditions"}) == nullptr) Take(kind, object, reason);
}

void TakingController::Take(const api::KindInfo& kind, Json object, const std::string& reason) {
  if (reason.empty() && kind.kind == "SnapshotGroup")
    for (const Json& member : object["spec"]["snapshots"])
      (void)client_.Create({}, api::Kind<v1alpha1::Snapshot>(),
                           {{"apiVersion", "ashlar.dev/v1alpha1"},
                            {"kind", "Snapshot"},
                            {"metadata", {{"name", member["name"]}}},
                            {"spec",
                             {{"volume", member["volume"]},
                              {"group", object["metadata"]["name"]},
                              {"nodeName", "n1"}}}});
  if (reason.empty() && kind.kind == "Snapshot") {
    object["spec"]["nodeName"] = "n1";
    const auto placed = client_.Update({}, kind, object, kube::Subresource::kNone);
    if (placed.ok()) object = *placed;
    object["status"] = {
        {"size", "100Mi"}, {"pool", "fast"}, {"mode", "Filesystem"}, {"fsType", "ext4"}};
  }
  object["status"]["conditions"] = Json::array({{{"type", "Ready"},
                                                 {"status", reason.empty() ? "True" : "False"},
                                                 {"reason", reason.empty() ? "Taken" : reason},
                                                 {"message", "as the test has it"},
                                                 {"lastTransitionTime", "1970-01-01T00:00:01Z"}}});
  (void)client_.Update({}, kind, object, kube::Subresource::kStatus);
}

}  // namespace ashlar::csi_driver
