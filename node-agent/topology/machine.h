// Machine: drives and GPUs of this machine together. Looks at the PCI tree again only if one of
// them has changed. Used by one thread.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "node-agent/gpu/gpu_watch.h"
#include "node-agent/gpu/partition/gpu_partitions.h"
#include "node-agent/inventory/drive_scanner.h"
#include "node-agent/topology/gpu_places.h"

namespace ashlar::node_agent {

struct MachineReport {
  GpuReport gpus;  // with their places; the state of the driver is empty if nobody looks for GPUs
  std::vector<v1alpha1::Domain> domains;  // empty without GPUs, as the rest
  std::vector<v1alpha1::GpuDrivePath> paths;
  v1alpha1::GdsFacts gds;
  std::vector<v1alpha1::Nic> nics;
  std::vector<GpuPartition> partitions;  // that the agent made
};

bool IsNews(const MachineReport& before, const MachineReport& after);

class Machine {
 public:
  using Gpus = std::function<std::shared_ptr<const GpuReport>()>;  // never null
  using Partitions = std::function<std::vector<GpuPartition>()>;   // nullptr: none are made

  Machine(DriveScannerOptions options, Gpus gpus, Partitions partitions = nullptr)
      : options_(std::move(options)), gpus_(std::move(gpus)), partitions_(std::move(partitions)) {}

  // What a look at the drives found.
  void SetDrives(std::vector<Drive> drives);
  const MachineReport& Look();

 private:
  const DriveScannerOptions options_;
  const Gpus gpus_;
  const Partitions partitions_;
  std::vector<Drive> drives_;
  bool drives_changed_ = false;
  std::shared_ptr<const GpuReport> seen_;  // which `report_` shows
  MachineReport report_;
};

}  // namespace ashlar::node_agent
