#include "controller/controller_app.h"

#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "ashlar/v1alpha1/composition.codec.h"
#include "ashlar/v1alpha1/gpu_partition.codec.h"
#include "controller/agents/pod_agents.h"
#include "controller/leadership.h"
#include "lib/api/kinds.h"
#include "lib/base/log.h"
#include "lib/base/status_macros.h"
#include "lib/kube/core_kinds.h"

namespace ashlar::controller {

ControllerApp::ControllerApp(ControllerAppOptions options, kube::Client& client,
                             AgentConnector& connector, Clock& clock, metrics::Registry& registry)
    : options_(std::move(options)),
      client_(client),
      connector_(connector),
      clock_(clock),
      registry_(registry),
      leading_gauge_(
          registry.GetGauge("ashlar_controller_leading", "1 while this replica leads, else 0.")),
      recorder_(client, clock, "ashlar-controller", options_.identity),
      events_(client, recorder_),
      pools_(client, api::Kind<v1alpha1::Pool>(), clock),
      volumes_(client, api::Kind<v1alpha1::Volume>(), clock),
      snapshots_(client, api::Kind<v1alpha1::Snapshot>(), clock),
      snapshot_groups_(client, api::Kind<v1alpha1::SnapshotGroup>(), clock),
      node_inventories_(client, api::Kind<v1alpha1::NodeInventory>(), clock),
      gpu_partitions_(client, api::Kind<v1alpha1::GPUPartition>(), clock),
      compositions_(client, api::Kind<v1alpha1::Composition>(), clock),
      composition_classes_(client, api::Kind<v1alpha1::CompositionClass>(), clock),
      nodes_(client, kube::kNode, clock),
      pods_(client, kube::kPod, clock,
            {.space = options_.space, .label_selector = kAgentPodSelector}),
      dra_(client, clock) {}

ControllerApp::~ControllerApp() = default;

std::vector<runtime::Informer*> ControllerApp::informers() {
  std::vector<runtime::Informer*> all = {&pools_,
                                         &volumes_,
                                         &snapshots_,
                                         &snapshot_groups_,
                                         &node_inventories_,
                                         &gpu_partitions_,
                                         &compositions_,
                                         &composition_classes_,
                                         &nodes_};
  if (options_.agents.empty()) all.push_back(&pods_);
  if (with_dra_)
    for (runtime::Informer* informer : dra_.all()) all.push_back(informer);
  return all;
}

absl::Status ControllerApp::Run(const CallContext& context) {
  absl::Status status;
  if (options_.dra) {
    const absl::StatusOr<bool> served = ServesDra(context, client_, clock_);
    if (!served.ok()) return context.stop.stop_requested() ? absl::OkStatus() : served.status();
    with_dra_ = *served;
  }
  {
    // Stopped after everything that reads the caches.
    std::vector<std::jthread> threads;
    for (runtime::Informer* informer : informers()) {
      threads.emplace_back([informer](std::stop_token stop) { informer->Run(stop); });
    }
    status = AwaitCaches(context);
    if (status.ok()) {
      ready_ = true;
      status = Elect(context);
      ready_ = false;
    }
    for (std::jthread& thread : threads) thread.request_stop();
  }
  leadership_ = nullptr;
  if (context.stop.stop_requested() && absl::IsCancelled(status)) return absl::OkStatus();
  return status;
}

absl::Status ControllerApp::AwaitCaches(const CallContext& context) {
  for (runtime::Informer* informer : informers()) {
    ASHLAR_RETURN_IF_ERROR(Annotate(informer->AwaitSync(context),
                                    absl::StrCat("cannot list ", informer->kind().plural)));
  }
  return absl::OkStatus();
}

absl::Status ControllerApp::Elect(const CallContext& context) {
  if (!options_.leader_elect) {
    Lead(context.stop);
    return absl::OkStatus();
  }
  kube::LeaderElector elector(
      client_, clock_,
      {.lease = {options_.space, "ashlar-controller"}, .identity = options_.identity});
  return elector.Run(context, [this](std::stop_token stop) { Lead(stop); });
}

void ControllerApp::Lead(std::stop_token stop) {
  leadership_ = std::make_unique<Leadership>(
      options_,
      Informers{pools_, volumes_, snapshots_, snapshot_groups_, node_inventories_, gpu_partitions_,
                compositions_, composition_classes_, nodes_,
                options_.agents.empty() ? &pods_ : nullptr, with_dra_ ? &dra_ : nullptr},
      client_, connector_, events_, clock_, registry_);
  leading_ = true;
  leading_gauge_.Set(1);
  CallContext context;
  context.stop = stop;
  leadership_->Run(context);
  leading_ = false;
  leading_gauge_.Set(0);
}

absl::Status ControllerApp::Ready() const {
  if (ready_) return absl::OkStatus();
  return absl::UnavailableError("the caches of pools, volumes, nodes and pods are not filled yet");
}

}  // namespace ashlar::controller
