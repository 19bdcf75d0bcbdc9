// Which block device a mounted filesystem lies on. Thread-safe.
#pragma once

#include <cstdint>
#include <string>

#include "lib/system/mount_info.h"

namespace ashlar::sys {

// Whether the mounted filesystem lies on the block device of this number. Btrfs has a number of its
// own for each subvolume (Linux fs/btrfs/super.c, btrfs_get_tree); its device is known by the
// name that it was mounted by: of several devices, by that one alone.
bool LiesOn(const MountEntry& mount, uint64_t special_device);

// Whether the machine has the block device of this number.
bool HasBlockDevice(uint64_t special_device);
// Whether the device of the mounted filesystem is still there. What is cached of a filesystem
// whose drive went can be read on, so asking the filesystem tells nothing.
bool HasDevice(const MountEntry& mount);
// Takes the topmost mount away although files are open on it: they stay what they are to those who
// have them open. Nothing mounted there is OK.
absl::Status DetachMount(const std::string& mount_point);

}  // namespace ashlar::sys
