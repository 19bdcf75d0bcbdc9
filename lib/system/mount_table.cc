#include "lib/system/mount_table.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "lib/base/status_macros.h"
#include "lib/system/errno_status.h"
#include "lib/system/files.h"

namespace ashlar::sys {
namespace {

// MS_... of a mount as what mount_setattr(2) takes. Of the three that concern access times the
// kernel's mount(2) prefers them in this order.
struct mount_attr AttributesOf(unsigned long flags) {
  constexpr std::pair<unsigned long, uint64_t> kBits[] = {{MS_RDONLY, MOUNT_ATTR_RDONLY},
                                                          {MS_NOSUID, MOUNT_ATTR_NOSUID},
                                                          {MS_NODEV, MOUNT_ATTR_NODEV},
                                                          {MS_NOEXEC, MOUNT_ATTR_NOEXEC},
                                                          {MS_NODIRATIME, MOUNT_ATTR_NODIRATIME}};
  struct mount_attr attributes = {};
  for (const auto& [flag, bit] : kBits)
    if ((flags & flag) != 0) attributes.attr_set |= bit;
  if ((flags & (MS_STRICTATIME | MS_NOATIME | MS_RELATIME)) == 0) return attributes;
  attributes.attr_clr = MOUNT_ATTR__ATIME;
  attributes.attr_set |= (flags & MS_STRICTATIME) != 0 ? MOUNT_ATTR_STRICTATIME
                         : (flags & MS_NOATIME) != 0   ? MOUNT_ATTR_NOATIME
                                                       : MOUNT_ATTR_RELATIME;
  return attributes;
}

// A copy of the mount at `source` with these flags, which is attached nowhere yet. Unimplemented:
// the kernel is older than Linux 5.12.
absl::StatusOr<UniqueFd> DetachedMount(const std::string& source, unsigned long flags) {
  UniqueFd tree(open_tree(AT_FDCWD, source.c_str(), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC));
  if (tree.get() < 0) return ErrnoStatus(errno, absl::StrCat("open_tree ", source));
  struct mount_attr attributes = AttributesOf(flags);
  if (mount_setattr(tree.get(), "", AT_EMPTY_PATH, &attributes, sizeof(attributes)) == 0)
    return tree;
  if (errno == ENOSYS) return absl::UnimplementedError("mount_setattr needs Linux 5.12");
  return ErrnoStatus(errno, absl::StrCat("flags of a mount of ", source));
}

}  // namespace

const MountEntry* FindMount(const std::vector<MountEntry>& mounts, const std::string& target) {
  for (auto it = mounts.rbegin(); it != mounts.rend(); ++it)
    if (it->mount_point == target) return &*it;
  return nullptr;
}

absl::StatusOr<std::vector<MountEntry>> KernelMountTable::List() {
  ASHLAR_ASSIGN_OR_RETURN(const std::string text, ReadFile("/proc/self/mountinfo", 64 << 20));
  return ParseMountInfo(text);
}

// statx(2): STATX_ATTR_MOUNT_ROOT, since Linux 5.8.
absl::StatusOr<MountPoint> KernelMountTable::Find(const std::string& target) {
  const absl::StatusOr<UniqueFd> handle = OpenHandle(target);
  const auto none = [&] { return absl::NotFoundError(absl::StrCat("no mount at ", target)); };
  if (absl::IsNotFound(handle.status()) || absl::IsFailedPrecondition(handle.status()))
    return none();
  ASHLAR_RETURN_IF_ERROR(handle.status());
  struct statx st;
  if (statx(handle->get(), "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_TYPE | STATX_INO, &st) !=
      0) {
    const int error = errno;
    if (error != EIO) return ErrnoStatus(error, absl::StrCat("statx ", target));
    // XFS answers so when it has stopped, as it does when its device went. The list asks nobody.
    ASHLAR_ASSIGN_OR_RETURN(const std::vector<MountEntry> mounts, List());
    const MountEntry* mount = FindMount(mounts, target);
    if (mount == nullptr) return none();
    return MountPoint{mount->major, mount->minor, 0, 0, 0};
  }
  if ((st.stx_attributes_mask & STATX_ATTR_MOUNT_ROOT) == 0)
    return absl::UnimplementedError("this kernel does not tell mount points; Linux 5.8 does");
  if ((st.stx_attributes & STATX_ATTR_MOUNT_ROOT) == 0) return none();
  return MountPoint{st.stx_dev_major, st.stx_dev_minor, st.stx_rdev_major, st.stx_rdev_minor,
                    st.stx_ino};
}

absl::Status KernelMountTable::MountDevice(const CallContext&, const std::string& device,
                                           const std::string& target, const std::string& fs_type,
                                           const MountOptions& options) {
  ASHLAR_ASSIGN_OR_RETURN(const UniqueFd handle, EnsureHandle(target, HandleKind::kDirectory));
  if (mount(device.c_str(), HandlePath(handle).c_str(), fs_type.c_str(), options.flags,
            options.data.c_str()) == 0)
    return absl::OkStatus();
  const std::string what = absl::StrCat("mount ", fs_type, " of ", device, " at ", target,
                                        " with \"", options.data, "\"");
  return ErrnoStatus(errno, what);
}

absl::Status KernelMountTable::Bind(const std::string& source, const std::string& target,
                                    unsigned long flags) {
  ASHLAR_ASSIGN_OR_RETURN(const FileStat stat, StatFile(source));
  ASHLAR_ASSIGN_OR_RETURN(
      UniqueFd handle,
      EnsureHandle(target, stat.is_directory ? HandleKind::kDirectory : HandleKind::kFile));
  if (flags != 0) {
    // Changes of a mount's flags are not propagated: to hold in the mount namespaces of the host
    // and of pods, too, they must be there when it is attached.
    absl::StatusOr<UniqueFd> tree = DetachedMount(source, flags);
    if (tree.ok()) {
      if (move_mount(tree->get(), "", handle.get(), "",
                     MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) == 0)
        return absl::OkStatus();
      return ErrnoStatus(errno, absl::StrCat("bind ", source, " at ", target));
    }
    if (!absl::IsUnimplemented(tree.status())) return tree.status();
  }
  // Without that the flags hold in this namespace alone, and the kubelet has the container runtime
  // hold readers.
  if (mount(source.c_str(), HandlePath(handle).c_str(), nullptr, MS_BIND, nullptr) != 0)
    return ErrnoStatus(errno, absl::StrCat("bind ", source, " at ", target));
  handle.Close();  // refers to what is now below the mount
  if (flags == 0) return absl::OkStatus();
  ASHLAR_ASSIGN_OR_RETURN(UniqueFd top, OpenHandle(target));
  if (mount(nullptr, HandlePath(top).c_str(), nullptr, MS_REMOUNT | MS_BIND | flags, nullptr) == 0)
    return absl::OkStatus();
  const absl::Status failed = ErrnoStatus(errno, absl::StrCat("remount ", target));
  top.Close();
  umount2(target.c_str(), UMOUNT_NOFOLLOW);
  return failed;
}

absl::Status KernelMountTable::Unmount(const std::string& target) {
  const absl::Status found = Find(target).status();
  if (absl::IsNotFound(found)) return absl::OkStatus();
  ASHLAR_RETURN_IF_ERROR(found);
  if (umount2(target.c_str(), UMOUNT_NOFOLLOW) == 0 || errno == EINVAL || errno == ENOENT)
    return absl::OkStatus();
  return ErrnoStatus(errno, absl::StrCat("unmount ", target));
}

absl::Status KernelMountTable::RemoveTarget(const std::string& target) {
  const size_t slash = target.rfind('/');
  if (slash == std::string::npos || slash == 0)
    return absl::InvalidArgumentError(absl::StrCat(target, " is not a mount point of ours"));
  const absl::StatusOr<UniqueFd> parent = OpenHandle(target.substr(0, slash));
  if (absl::IsNotFound(parent.status())) return absl::OkStatus();
  ASHLAR_RETURN_IF_ERROR(parent.status());
  const char* name = target.c_str() + slash + 1;
  if (unlinkat(parent->get(), name, AT_REMOVEDIR) == 0 || errno == ENOENT) return absl::OkStatus();
  if (errno != ENOTDIR) return ErrnoStatus(errno, absl::StrCat("remove ", target));
  struct stat st;
  if (fstatat(parent->get(), name, &st, AT_SYMLINK_NOFOLLOW) != 0)
    return ErrnoStatus(errno, absl::StrCat("stat ", target));
  if (!S_ISREG(st.st_mode) || st.st_size != 0)
    return absl::FailedPreconditionError(absl::StrCat(target, " is not an empty file"));
  if (unlinkat(parent->get(), name, 0) != 0 && errno != ENOENT)
    return ErrnoStatus(errno, absl::StrCat("remove ", target));
  return absl::OkStatus();
}

absl::Status KernelMountTable::Freeze(const std::string& target) {
  ASHLAR_RETURN_IF_ERROR(Find(target).status());
  ASHLAR_ASSIGN_OR_RETURN(const UniqueFd fd, OpenFile(target, O_RDONLY | O_DIRECTORY));
  // Most of what is to be written out is written while others may still write.
  if (syncfs(fd.get()) != 0) return ErrnoStatus(errno, absl::StrCat("sync ", target));
  if (ioctl(fd.get(), FIFREEZE, 0) != 0) return ErrnoStatus(errno, absl::StrCat("freeze ", target));
  return absl::OkStatus();
}

absl::Status KernelMountTable::Thaw(const std::string& target) {
  const absl::Status mounted = Find(target).status();
  if (absl::IsNotFound(mounted)) return absl::OkStatus();
  ASHLAR_RETURN_IF_ERROR(mounted);
  ASHLAR_ASSIGN_OR_RETURN(const UniqueFd fd, OpenFile(target, O_RDONLY | O_DIRECTORY));
  if (ioctl(fd.get(), FITHAW, 0) != 0 && errno != EINVAL)  // EINVAL: not frozen
    return ErrnoStatus(errno, absl::StrCat("thaw ", target));
  return absl::OkStatus();
}

}  // namespace ashlar::sys
