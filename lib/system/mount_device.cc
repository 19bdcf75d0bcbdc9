#include "lib/system/mount_device.h"

#include <sys/sysmacros.h>

#include "lib/system/files.h"

namespace ashlar::sys {

bool LiesOn(const MountEntry& mount, uint64_t special_device) {
  if (makedev(mount.major, mount.minor) == special_device) return true;
  if (mount.fs_type != "btrfs") return false;
  const absl::StatusOr<FileStat> source = StatFile(mount.source);
  return source.ok() && source->is_block_device && source->special_device == special_device;
}

}  // namespace ashlar::sys
