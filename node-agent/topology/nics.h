// Network adapters, as sysfs shows them (Documentation/ABI: sysfs-class-net, stable/sysfs-class-
// infiniband). Reads only; thread-safe.
#pragma once

#include <string>
#include <vector>

#include "ashlar/v1alpha1/topology.pb.h"

namespace ashlar::node_agent {

// PCI functions of the class of network controllers, by address, but for virtual functions.
// pcie_switch is left to whoever knows the ports.
std::vector<v1alpha1::Nic> ReadNics(const std::string& sys_root);

}  // namespace ashlar::node_agent
