// The GPUs that a scene may have. Values.
#pragma once

#include <string>
#include <vector>

#include "test/fake_nvml/mig_rules.h"

namespace fake_nvml {

struct GpuModel {
  std::string key;  // A100-40GB, A100-80GB, H100-80GB, H200-141GB, B200-180GB, L4-24GB
  std::string name;
  unsigned architecture = 0;  // NVML_DEVICE_ARCH_*
  int cuda_major = 0, cuda_minor = 0;
  unsigned pci_device_id = 0;  // device << 16 | vendor
  unsigned long long memory_mib = 0, bar1_mib = 0;
  unsigned power_min_mw = 0, power_max_mw = 0;  // the default is the largest
  unsigned pcie_generation = 0;
  unsigned nvlinks = 0;
  unsigned sm_clock_mhz = 0, memory_clock_mhz = 0;
  unsigned slowdown_celsius = 0, shutdown_celsius = 0;
  bool mode_needs_reset = false;  // of MIG, as on Ampere
  bool has_fabric = false;
  std::vector<MigProfile> profiles;  // empty: it cannot be divided
};

// nullptr: there is no such model.
const GpuModel* FindModel(const std::string& key);
const std::vector<GpuModel>& Models();

}  // namespace fake_nvml
