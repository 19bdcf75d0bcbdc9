// DraControllers: what the leader does for Dynamic Resource Allocation: the reconcilers of slices
// and claims, and the changes that each of them heeds. Thread-safe.
#pragma once

#include <string>

#include "controller/claims/claims_reconciler.h"
#include "controller/claims/dra_informers.h"
#include "controller/objects/change_filter.h"
#include "controller/slices/slices_reconciler.h"
#include "lib/runtime/controller.h"

namespace ashlar::controller {

// All must outlive the controllers.
struct DraParts {
  kube::Client& client;
  DraInformers& dra;
  runtime::Informer& volumes;
  runtime::Informer& nodes;
  runtime::Informer& node_inventories;
  runtime::Informer& compositions;
  ObjectWriter& volume_writer;
  const AgentDirectory& agents;
  const NodeOffers& offers;
  EventSink& events;
  Clock& clock;
  metrics::Registry& metrics;
};

class DraControllers {
 public:
  explicit DraControllers(const DraParts& parts);

  // Call it once, before Run.
  void WatchCaches();
  // Returns when the last reconcile has ended.
  void Run(std::stop_token stop);

  // What changed of the node may change its slices. Do not block.
  void OnReport(const ReportChange& change);
  void OnNode(const std::string& node);

  // NAMESPACE/NAME of a claim that holds the Volume as it is; empty: none does.
  std::string HolderOf(const std::string& volume) const;

 private:
  void OnComposition(const api::ObjectKey& key);
  void OnVolume(const api::ObjectKey& key);
  void QueueClaimsOf(const std::string& node);

  const DraParts parts_;
  OfferedVolumes offered_;
  SlicesReconciler slices_reconciler_;
  ClaimsReconciler claims_reconciler_;
  runtime::Controller slices_;
  runtime::Controller claims_;
  ChangeFilter node_inventory_filter_;
  ChangeFilter claim_filter_;
  ChangeFilter composition_filter_;
};

}  // namespace ashlar::controller
