// Which block device a mounted filesystem lies on. Thread-safe.
#pragma once

#include <cstdint>

#include "lib/system/mount_info.h"

namespace ashlar::sys {

// Whether the mounted filesystem lies on the block device of this number. Btrfs has a number of its
// own for each subvolume (Linux fs/btrfs/super.c, btrfs_get_tree); its device is known by the
// name that it was mounted by: of several devices, by that one alone.
bool LiesOn(const MountEntry& mount, uint64_t special_device);

}  // namespace ashlar::sys
