// How many volumes can be in use on a node at the same time: what the scheduler is told. Pure.
#pragma once

#include <cstdint>

namespace ashlar::node_agent {

// Each volume in use takes two mounts, at its staging path and at a pod's, and may take a loop
// device. Of the mounts that the kernel allows (fs.mount-max, `mount_max`; 0: it does not tell)
// half are left to everybody else; loop devices have 2^20 numbers, the first 4096 of which are not
// ours. `wanted`, an admin's choice, counts instead if it is smaller; 0: there is none. At least 1.
int64_t VolumeLimit(int64_t wanted, int64_t mount_max);

}  // namespace ashlar::node_agent
