// The ways from the processors to a drive, as sysfs shows them (Documentation/ABI: sysfs-bus-pci,
// sysfs-kernel-iommu_groups). Reads only; thread-safe.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "node-agent/inventory/drive.h"

namespace ashlar::node_agent {

// Of the block device `name` (nvme0n1), by the controllers' PCI addresses. An NVMe namespace that
// several controllers may lead to lies below /sys/devices/virtual/nvme-subsystem: its paths are
// those of the controllers that lead to it now. Empty: nothing is known.
std::vector<DrivePath> ReadDrivePaths(const std::string& sys_root, const std::string& name);

// Of the PCI function with that address: "0000:41:00.0". Nothing: there is no such function.
std::optional<DrivePath> ReadPciPath(const std::string& sys_root, const std::string& address);

}  // namespace ashlar::node_agent
