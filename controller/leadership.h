// Leadership: everything that the controller does while it leads: it follows the agents and runs
// the reconcilers, and passes every change on to the keys that it concerns. Made once, when leading
// begins; thread-safe.
//
//   pods ──► agents ──► reports ──► ledger
//                          │
//   caches ────────────────┴──► keys ──► reconcilers ──► agents, API server
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "controller/agents/agent_directory.h"
#include "controller/agents/pod_agents.h"
#include "controller/claims/dra_controllers.h"
#include "controller/composition/composition_controller.h"
#include "controller/controller_options.h"
#include "controller/gpu_partition/gpu_partition_reconciler.h"
#include "controller/near/near_controllers.h"
#include "controller/node_inventory/node_inventory_reconciler.h"
#include "controller/objects/change_filter.h"
#include "controller/objects/event_sink.h"
#include "controller/pool/pool_reconciler.h"
#include "controller/snapshot/snapshot_reconciler.h"
#include "controller/volume/volume_reconciler.h"
#include "lib/runtime/controller.h"
#include "lib/runtime/informer.h"

namespace ashlar::controller {

// The caches that a leader and its successors keep. They outlive the leadership, and their Run must
// have returned before it ends, because it has handlers there.
struct Informers {
  runtime::Informer& pools;
  runtime::Informer& volumes;
  runtime::Informer& snapshots;
  runtime::Informer& snapshot_groups;
  runtime::Informer& node_inventories;
  runtime::Informer& gpu_partitions;
  runtime::Informer& compositions;
  runtime::Informer& composition_classes;
  runtime::Informer& nodes;
  runtime::Informer* pods = nullptr;  // nullptr: the agents are given
  DraInformers* dra = nullptr;        // nullptr: nothing is published for ResourceClaims
};

class Leadership {
 public:
  // All must outlive the leadership. The informers have synced.
  Leadership(const ControllerAppOptions& options, Informers informers, kube::Client& client,
             AgentConnector& connector, EventSink& events, Clock& clock,
             metrics::Registry& registry);
  // Nobody reports to members that are gone.
  ~Leadership() { agents_.Close(); }

  // Leads until the context is stopped; returns when the last reconcile has ended.
  void Run(const CallContext& context);

 private:
  void WatchCaches();
  void WatchVolumes();
  void WatchSnapshots();
  void WatchNodes();
  void WatchGpuOwners();
  void OnPod(const api::ObjectKey& key);
  std::string OtherGpuOwnerOf(const std::string& node) const;
  void OnReport(const ReportChange& change);
  void OnFreshness(const std::string& node);
  void OnPromise(const std::string& pool);
  void OnRelease(const std::string& pool);

  void QueueAllPools();
  // Those with parts on the node; all for "".
  void QueueGpuPartitions(const std::string& node);
  void QueueVolumesOf(const std::string& node);
  // Snapshots and groups that wait for what becomes of the volume, and copies of the source.
  void QueueCopies(const std::string& source);
  void QueueWaiting(const std::string& pool);

  const ControllerAppOptions options_;
  const Informers informers_;
  Clock& clock_;
  CapacityLedger ledger_;
  AgentDirectory agents_;
  PodAgents pod_agents_;
  NodeOffers offers_;
  ObjectWriter pool_writer_;
  ObjectWriter volume_writer_;
  ObjectWriter snapshot_writer_;
  ObjectWriter snapshot_group_writer_;
  ObjectWriter node_inventory_writer_;
  ObjectWriter gpu_partition_writer_;
  PoolReconciler pool_reconciler_;
  VolumeReconciler volume_reconciler_;
  SnapshotReconciler snapshot_reconciler_;
  SnapshotGroupReconciler snapshot_group_reconciler_;
  NodeInventoryReconciler node_inventory_reconciler_;
  GpuPartitionReconciler gpu_partition_reconciler_;
  CompositionController compositions_;
  FragmentGauges fragments_;
  runtime::Controller pools_;
  runtime::Controller volumes_;
  runtime::Controller snapshots_;
  runtime::Controller snapshot_groups_;
  runtime::Controller node_inventories_;
  runtime::Controller gpu_partitions_;
  ChangeFilter node_filter_;
  ChangeFilter node_inventory_filter_;
  ChangeFilter node_gpu_filter_;
  std::unique_ptr<DraControllers> dra_;  // nullptr: as in Informers
  NearControllers near_;
};

}  // namespace ashlar::controller
