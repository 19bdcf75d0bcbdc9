// Which devices the active volumes of a group refer to, by the kernel's own word. A drive that was
// unplugged and plugged is another device to the kernel, though LVM finds nothing wrong. Pure.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <utility>

#include "absl/strings/string_view.h"

namespace ashlar::node_agent {

using DeviceNumber = std::pair<uint32_t, uint32_t>;  // major, minor

// With what the device mapper's names of the group's volumes begin: it doubles LVM's hyphens.
std::string MapperPrefix(absl::string_view group);
// The device mapper's name of the group's thin pool, as the kernel has it below LVM's volume.
std::string ThinPoolDevice(absl::string_view group);

// Of `dmsetup deps -o devno`: what the volumes of that group lie on. Lines that are none of this
// group's, or none at all, are left out.
std::set<DeviceNumber> DependenciesOf(absl::string_view text, absl::string_view group);

// The major number of the device mapper, by /proc/devices; 0: it has none.
uint32_t MapperMajor(absl::string_view proc_devices);

}  // namespace ashlar::node_agent
