#include "lib/system/mount_device.h"

#include <sys/mount.h>
#include <sys/sysmacros.h>

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "lib/system/errno_status.h"
#include "lib/system/files.h"

namespace ashlar::sys {

namespace {

uint64_t DeviceOf(const MountEntry& mount) {
  const uint64_t own = makedev(mount.major, mount.minor);
  if (mount.fs_type != "btrfs") return own;
  const absl::StatusOr<FileStat> source = StatFile(mount.source);
  return source.ok() && source->is_block_device ? source->special_device : own;
}

}  // namespace

bool LiesOn(const MountEntry& mount, uint64_t special_device) {
  return DeviceOf(mount) == special_device;
}

bool HasBlockDevice(uint64_t special_device) {
  return Exists(absl::StrCat("/sys/dev/block/", major(special_device), ":", minor(special_device)));
}

bool HasDevice(const MountEntry& mount) { return HasBlockDevice(DeviceOf(mount)); }

absl::Status DetachMount(const std::string& mount_point) {
  if (umount2(mount_point.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW) == 0 || errno == EINVAL ||
      errno == ENOENT)
    return absl::OkStatus();
  return ErrnoStatus(errno, absl::StrCat("detach ", mount_point));
}

}  // namespace ashlar::sys
