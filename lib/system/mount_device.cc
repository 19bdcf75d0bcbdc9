#include "lib/system/mount_device.h"

#include <sys/mount.h>
#include <sys/sysmacros.h>

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "lib/system/errno_status.h"
#include "lib/system/files.h"

namespace ashlar::sys {

bool LiesOn(const MountEntry& mount, uint64_t special_device) {
  if (makedev(mount.major, mount.minor) == special_device) return true;
  if (mount.fs_type != "btrfs") return false;
  const absl::StatusOr<FileStat> source = StatFile(mount.source);
  return source.ok() && source->is_block_device && source->special_device == special_device;
}

bool Answers(const std::string& mount_point) {
  // XFS and btrfs answer EIO once they have been shut down; statfs still works.
  return ListDirectory(mount_point).ok();
}

absl::Status DetachMount(const std::string& mount_point) {
  if (umount2(mount_point.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW) == 0 || errno == EINVAL ||
      errno == ENOENT)
    return absl::OkStatus();
  return ErrnoStatus(errno, absl::StrCat("detach ", mount_point));
}

}  // namespace ashlar::sys
