#include "controller/composer/node_devices.h"

namespace ashlar::composer {

absl::string_view LevelName(Level level) {
  switch (level) {
    case Level::kSwitch:
      return "Switch";
    case Level::kRoot:
      return "Root";
    case Level::kNuma:
      return "NUMANode";
    case Level::kSystem:
      return "System";
  }
  return "";
}

Level LevelBetween(const Place& a, const Place& b) {
  if (a.pcie_switch >= 0 && a.pcie_switch == b.pcie_switch) return Level::kSwitch;
  if (a.pcie_root >= 0 && a.pcie_root == b.pcie_root) return Level::kRoot;
  if (a.numa_node >= 0 && a.numa_node == b.numa_node) return Level::kNuma;
  return Level::kSystem;
}

void Occupy(NodeDevices& node, const std::vector<MigLayout>& layouts, const Grants& grants) {
  for (const GpuGrant& grant : grants.gpus) {
    Gpu& gpu = node.gpus[grant.gpu];
    if (grant.profile < 0) {
      gpu.taken = true;
    } else {
      layouts[gpu.layout].Take(gpu.used, grant.profile, grant.placement);
    }
  }
  for (const DriveGrant& grant : grants.drives) {
    node.drives[grant.drive].allocatable_bytes -= grant.bytes;
  }
  for (const NicGrant& grant : grants.nics) --node.nics[grant.nic].free;
}

void GiveBack(NodeDevices& node, const std::vector<MigLayout>& layouts, const Grants& grants) {
  for (const GpuGrant& grant : grants.gpus) {
    Gpu& gpu = node.gpus[grant.gpu];
    if (grant.profile < 0) {
      gpu.taken = false;
    } else {
      layouts[gpu.layout].GiveBack(gpu.used, grant.profile, grant.placement);
    }
  }
  for (const DriveGrant& grant : grants.drives) {
    node.drives[grant.drive].allocatable_bytes += grant.bytes;
  }
  for (const NicGrant& grant : grants.nics) ++node.nics[grant.nic].free;
}

int64_t ValueOf(const Gpu& gpu, const std::vector<MigLayout>& layouts) {
  if (gpu.taken) return 0;
  if (gpu.layout >= 0) return layouts[gpu.layout].Value(gpu.used);
  return gpu.used.Empty() ? kEmptyGpuValue : 0;
}

}  // namespace ashlar::composer
