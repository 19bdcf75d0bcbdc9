// NearControllers: what the leader does for volumes that are carved near the GPUs of their pods: it
// answers what agents ask of pods, and tells of the volumes. Thread-safe.
#pragma once

#include <string>

#include "controller/near/inline_volumes_reconciler.h"
#include "controller/near/pod_questions_reconciler.h"
#include "lib/runtime/controller.h"
#include "lib/runtime/informer.h"

namespace ashlar::controller {

// All must outlive the controllers.
struct NearParts {
  kube::Client& client;
  DraInformers* dra;  // nullptr: the cluster has no ResourceClaims
  runtime::Informer& volumes;
  runtime::Informer& nodes;
  ObjectWriter& volume_writer;
  const AgentDirectory& agents;
  const NodeOffers& offers;
  Clock& clock;
  metrics::Registry& metrics;
};

class NearControllers {
 public:
  explicit NearControllers(const NearParts& parts);

  // Call it once, before Run.
  void WatchCaches();
  // Returns when the last reconcile has ended.
  void Run(std::stop_token stop);

  // Do not block.
  void OnReport(const ReportChange& change);
  void OnFreshness(const std::string& node);

 private:
  void OnVolume(const api::ObjectKey& key);

  const NearParts parts_;
  PodQuestionsReconciler questions_reconciler_;
  InlineVolumesReconciler volumes_reconciler_;
  runtime::Controller questions_;
  runtime::Controller volumes_;
};

}  // namespace ashlar::controller
