// ControllerApp: the controller as a whole, for its own process and for the standalone one. Every
// replica keeps its caches true and is ready; the one that holds the Lease "ashlar-controller"
// leads. Thread-safe.
#pragma once

#include <atomic>

#include "controller/claims/dra_informers.h"
#include "controller/controller_options.h"
#include "controller/objects/event_sink.h"
#include "lib/base/call_context.h"
#include "lib/base/clock.h"
#include "lib/kube/client.h"
#include "lib/kube/event_recorder.h"
#include "lib/kube/leader_elector.h"
#include "lib/metrics/metrics.h"
#include "lib/runtime/informer.h"

namespace ashlar::controller {

class ControllerApp {
 public:
  // All must outlive the app.
  ControllerApp(ControllerAppOptions options, kube::Client& client, AgentConnector& connector,
                Clock& clock, metrics::Registry& registry);
  ~ControllerApp();

  // Runs until the context is stopped. OK after a stop, with the Lease given up. Aborted: the Lease
  // was lost; the process should end and begin anew. Call it once.
  absl::Status Run(const CallContext& context);

  // For /readyz: OK once every cache has been filled, whether this replica leads or not.
  absl::Status Ready() const;

  bool leading() const { return leading_; }

 private:
  absl::Status AwaitCaches(const CallContext& context);
  absl::Status Elect(const CallContext& context);
  void Lead(std::stop_token stop);
  std::vector<runtime::Informer*> informers();

  const ControllerAppOptions options_;
  kube::Client& client_;
  AgentConnector& connector_;
  Clock& clock_;
  metrics::Registry& registry_;
  metrics::Gauge& leading_gauge_;
  kube::EventRecorder recorder_;
  EventSink events_;
  runtime::Informer pools_;
  runtime::Informer volumes_;
  runtime::Informer snapshots_;
  runtime::Informer snapshot_groups_;
  runtime::Informer node_inventories_;
  runtime::Informer gpu_partitions_;
  runtime::Informer compositions_;
  runtime::Informer composition_classes_;
  runtime::Informer nodes_;
  runtime::Informer pods_;
  DraInformers dra_;
  bool with_dra_ = false;  // set before there are other threads
  std::unique_ptr<class Leadership> leadership_;
  std::atomic<bool> leading_ = false;
  std::atomic<bool> ready_ = false;
};

}  // namespace ashlar::controller
