// ControllerAppOptions: what can be set of the controller. A value.
#pragma once

#include <string>
#include <vector>

#include "absl/time/time.h"
#include "controller/agents/agent_client.h"
#include "controller/agents/agent_directory.h"
#include "controller/composition/composition_reconciler.h"
#include "controller/composition/fragment_gauges.h"
#include "controller/gpu_partition/gpu_partition_reconciler.h"
#include "controller/node_inventory/node_inventory_reconciler.h"
#include "controller/pool/pool_reconciler.h"
#include "controller/snapshot/snapshot_reconciler.h"
#include "controller/volume/volume_reconciler.h"

namespace ashlar::controller {

struct ControllerAppOptions {
  std::string space;     // namespace of the agents' pods and of the Lease
  std::string identity;  // of this replica: the pod's name
  bool leader_elect = true;
  // Publish drives and GPUs for ResourceClaims (DRA), where the API server has resource.k8s.io/v1.
  bool dra = true;
  // The agents, where there are no pods to find them by. Not empty: pods are not looked at.
  std::vector<AgentAddress> agents;
  int volume_workers = 32;
  int pool_workers = 4;
  int snapshot_workers = 8;
  int node_workers = 4;
  // How long a new leader waits for the first report of every agent before it places anything.
  absl::Duration first_reports_within = absl::Seconds(2);
  AgentDirectoryOptions directory;
  VolumeReconcilerOptions volume;
  SnapshotReconcilerOptions snapshot;
  PoolReconcilerOptions pool;
  NodeInventoryReconcilerOptions node_inventory;
  GpuPartitionReconcilerOptions gpu_partition;
  CompositionReconcilerOptions composition;
  FragmentOptions fragments;
};

}  // namespace ashlar::controller
