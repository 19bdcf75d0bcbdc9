// Where GPUs sit in the PCI tree that NVML does not tell of, and what they share with drives. Only
// ReadTreeFacts and PlaceGpus look at the system; all else is pure.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "ashlar/v1alpha1/gpu.pb.h"
#include "ashlar/v1alpha1/topology.pb.h"
#include "lib/system/kernel_version.h"
#include "node-agent/inventory/drive.h"
#include "node-agent/inventory/pci_function.h"

namespace ashlar::node_agent {

// Fills in what sysfs says of the GPU at `pci_address`: pcie_root, pci, numa_node, the IOMMU. One
// that sysfs does not have stays as it is.
void PlaceGpus(const std::string& sys_root, std::vector<v1alpha1::Gpu>& gpus);

// What a way from a drive into a GPU's memory depends on.
struct TreeFacts {
  std::map<std::string, PciFunction> functions;  // by address: those above GPUs, NVMe drives, NICs
  bool nvidia_fs = false;                        // the module is loaded
  bool open_driver = false;                      // NVIDIA's open kernel modules
  int driver = 0;                                // their major version; 0: not known
  sys::KernelVersion kernel;
};
TreeFacts ReadTreeFacts(const std::string& sys_root, const std::string& proc_root,
                        const std::vector<v1alpha1::Gpu>& gpus, const std::vector<Drive>& drives,
                        const std::vector<v1alpha1::Nic>& nics);

// Addresses of the upstream ports of switches in `pci`, from the root on. Where ports are not
// known, a switch is two functions behind the root port.
std::vector<std::string> SwitchesOf(const TreeFacts& facts, const std::vector<std::string>& pci);

// The domains of GPUs, drives and network adapters, by name. Sets pcie_switch of GPUs and adapters.
std::vector<v1alpha1::Domain> FindDomains(const TreeFacts& facts, std::vector<v1alpha1::Gpu>& gpus,
                                          const std::vector<Drive>& drives,
                                          std::vector<v1alpha1::Nic>& nics);

// Every GPU with every NVMe drive, by PCI address of the GPU and id of the drive. Of a drive with
// several paths the nearest counts.
std::vector<v1alpha1::GpuDrivePath> FindPaths(const TreeFacts& facts,
                                              const std::vector<v1alpha1::Gpu>& gpus,
                                              const std::vector<Drive>& drives);

v1alpha1::GdsFacts FindGdsFacts(const TreeFacts& facts);

}  // namespace ashlar::node_agent
