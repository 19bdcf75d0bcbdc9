// GpuReader: what NVML tells of GPUs, as the messages of proto/ashlar/v1alpha1/gpu.proto. What a
// GPU or its driver does not tell is absent; nothing is an error but a GPU that does not answer.
// Only reads. Used by one thread.
#pragma once

#include "ashlar/v1alpha1/gpu.pb.h"
#include "node-agent/gpu/nvml_library.h"

namespace ashlar::node_agent {

class GpuReader {
 public:
  // Borrows.
  explicit GpuReader(const Nvml& nvml) : nvml_(nvml) {}

  // Versions; nvmlInit was called.
  v1alpha1::GpuDriver Driver() const;
  // The GPU of NVML's number. The PCI tree around it is not NVML's to tell: pcie_root, pcie_switch,
  // pci, iommu_* and, but for what NVML says of it, numa_node are left out. Unavailable: the GPU
  // does not answer; the message says why.
  absl::StatusOr<v1alpha1::Gpu> Read(unsigned index) const;

 private:
  void ReadIdentity(nvmlDevice_t device, v1alpha1::Gpu& gpu) const;
  void ReadModes(nvmlDevice_t device, v1alpha1::Gpu& gpu) const;
  void ReadBestLink(nvmlDevice_t device, v1alpha1::Gpu& gpu) const;
  void ReadLinks(nvmlDevice_t device, v1alpha1::Gpu& gpu) const;
  void ReadPower(nvmlDevice_t device, v1alpha1::Gpu& gpu) const;
  void ReadHealth(nvmlDevice_t device, v1alpha1::GpuHealth& health) const;
  void ReadMemoryErrors(nvmlDevice_t device, v1alpha1::GpuHealth& health) const;

  const Nvml& nvml_;
};

// "0000:41:00.0" of NVML's "00000000:41:00.0", as sysfs names it.
std::string PciAddress(const nvmlPciInfo_t& pci);

}  // namespace ashlar::node_agent
