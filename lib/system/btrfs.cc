#include "lib/system/btrfs.h"

#include <endian.h>
#include <fcntl.h>
#include <linux/btrfs.h>
#include <linux/btrfs_tree.h>
#include <linux/magic.h>
#include <sys/ioctl.h>
#include <sys/vfs.h>

#include <cerrno>
#include <cstring>
#include <vector>

#include "absl/strings/str_cat.h"
#include "lib/base/status_macros.h"
#include "lib/system/errno_status.h"
#include "lib/system/files.h"

namespace ashlar::sys {
namespace {

struct Place {
  UniqueFd parent;
  std::string name;
};

absl::StatusOr<Place> Split(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos || slash + 1 == path.size() ||
      path.size() - slash > BTRFS_SUBVOL_NAME_MAX)
    return absl::InvalidArgumentError(absl::StrCat(path, " cannot be the name of a subvolume"));
  Place place;
  ASHLAR_ASSIGN_OR_RETURN(place.parent, OpenFile(path.substr(0, slash), O_RDONLY | O_DIRECTORY));
  place.name = path.substr(slash + 1);
  return place;
}

absl::Status Control(int fd, unsigned long request, void* argument, const std::string& what) {
  if (ioctl(fd, request, argument) != 0) return ErrnoStatus(errno, what);
  return absl::OkStatus();
}

absl::StatusOr<uint64_t> SubvolumeId(int fd, const std::string& path) {
  btrfs_ioctl_ino_lookup_args args{};
  args.objectid = BTRFS_FIRST_FREE_OBJECTID;
  ASHLAR_RETURN_IF_ERROR(
      Control(fd, BTRFS_IOC_INO_LOOKUP, &args, absl::StrCat("subvolume id of ", path)));
  return uint64_t{args.treeid};
}

}  // namespace

absl::StatusOr<bool> IsBtrfs(const std::string& path) {
  struct statfs st;
  if (statfs(path.c_str(), &st) != 0) return ErrnoStatus(errno, absl::StrCat("statfs ", path));
  return st.f_type == BTRFS_SUPER_MAGIC;
}

absl::Status EnableQuota(const std::string& path) {
  ASHLAR_ASSIGN_OR_RETURN(const UniqueFd fd, OpenFile(path, O_RDONLY | O_DIRECTORY));
  btrfs_ioctl_quota_ctl_args args{};
  args.cmd = BTRFS_QUOTA_CTL_ENABLE;
  return Control(fd.get(), BTRFS_IOC_QUOTA_CTL, &args, absl::StrCat("enable quota of ", path));
}

absl::Status CreateSubvolume(const std::string& path) {
  ASHLAR_ASSIGN_OR_RETURN(const Place place, Split(path));
  btrfs_ioctl_vol_args_v2 args{};
  memcpy(args.name, place.name.data(), place.name.size());
  return Control(place.parent.get(), BTRFS_IOC_SUBVOL_CREATE_V2, &args,
                 absl::StrCat("create subvolume ", path));
}

absl::Status SnapshotSubvolume(const std::string& source, const std::string& path, bool read_only) {
  ASHLAR_ASSIGN_OR_RETURN(const Place place, Split(path));
  ASHLAR_ASSIGN_OR_RETURN(const UniqueFd from, OpenFile(source, O_RDONLY | O_DIRECTORY));
  btrfs_ioctl_vol_args_v2 args{};
  args.fd = from.get();
  args.flags = read_only ? BTRFS_SUBVOL_RDONLY : 0;
  memcpy(args.name, place.name.data(), place.name.size());
  return Control(place.parent.get(), BTRFS_IOC_SNAP_CREATE_V2, &args,
                 absl::StrCat("snapshot subvolume ", source, " to ", path));
}

absl::Status DeleteSubvolume(const std::string& path) {
  if (!Exists(path)) return absl::OkStatus();
  uint64_t id = 0;
  {
    ASHLAR_ASSIGN_OR_RETURN(const UniqueFd fd, OpenFile(path, O_RDONLY | O_DIRECTORY));
    ASHLAR_ASSIGN_OR_RETURN(id, SubvolumeId(fd.get(), path));
  }
  ASHLAR_ASSIGN_OR_RETURN(const Place place, Split(path));
  btrfs_ioctl_vol_args_v2 args{};
  memcpy(args.name, place.name.data(), place.name.size());
  ASHLAR_RETURN_IF_ERROR(Control(place.parent.get(), BTRFS_IOC_SNAP_DESTROY_V2, &args,
                                 absl::StrCat("delete subvolume ", path)));
  // A quota group without a subvolume costs a little at each commit; newer kernels drop it
  // themselves, and some refuse while the subvolume is being cleaned up.
  btrfs_ioctl_qgroup_create_args group{};
  group.qgroupid = id;
  (void)ioctl(place.parent.get(), BTRFS_IOC_QGROUP_CREATE, &group);
  return absl::OkStatus();
}

absl::Status CommitBtrfs(const std::string& path) {
  ASHLAR_ASSIGN_OR_RETURN(const UniqueFd fd, OpenFile(path, O_RDONLY | O_DIRECTORY));
  return Control(fd.get(), BTRFS_IOC_SYNC, nullptr, absl::StrCat("commit ", path));
}

absl::Status LimitSubvolume(const std::string& path, int64_t bytes) {
  ASHLAR_ASSIGN_OR_RETURN(const UniqueFd fd, OpenFile(path, O_RDONLY | O_DIRECTORY));
  btrfs_ioctl_qgroup_limit_args args{};  // qgroupid 0: the group of this subvolume
  args.lim.flags = BTRFS_QGROUP_LIMIT_MAX_RFER;
  args.lim.max_rfer = static_cast<uint64_t>(bytes);
  return Control(fd.get(), BTRFS_IOC_QGROUP_LIMIT, &args, absl::StrCat("limit subvolume ", path));
}

absl::StatusOr<SubvolumeUsage> ReadSubvolumeUsage(const std::string& path) {
  ASHLAR_ASSIGN_OR_RETURN(const UniqueFd fd, OpenFile(path, O_RDONLY | O_DIRECTORY));
  ASHLAR_ASSIGN_OR_RETURN(const uint64_t id, SubvolumeId(fd.get(), path));
  btrfs_ioctl_search_args args{};
  args.key.tree_id = BTRFS_QUOTA_TREE_OBJECTID;
  args.key.min_type = BTRFS_QGROUP_INFO_KEY;
  args.key.max_type = BTRFS_QGROUP_LIMIT_KEY;
  args.key.min_offset = args.key.max_offset = id;  // the key is (0, type, group)
  args.key.max_transid = ~uint64_t{0};
  // The search walks a range of keys: what lies between (0, INFO, id) and (0, LIMIT, id).
  args.key.nr_items = 4096;
  SubvolumeUsage usage;
  for (;;) {
    ASHLAR_RETURN_IF_ERROR(
        Control(fd.get(), BTRFS_IOC_TREE_SEARCH, &args, absl::StrCat("quota of subvolume ", path)));
    if (args.key.nr_items == 0) return usage;
    size_t at = 0;
    btrfs_ioctl_search_header header{};
    for (uint32_t item = 0; item < args.key.nr_items; ++item) {
      if (at + sizeof(header) > sizeof(args.buf)) break;
      memcpy(&header, args.buf + at, sizeof(header));
      at += sizeof(header);
      if (at + header.len > sizeof(args.buf)) break;
      if (header.offset == id && header.type == BTRFS_QGROUP_INFO_KEY &&
          header.len >= sizeof(btrfs_qgroup_info_item)) {
        btrfs_qgroup_info_item info;
        memcpy(&info, args.buf + at, sizeof(info));
        usage.referenced_bytes = static_cast<int64_t>(le64toh(info.rfer));
      } else if (header.offset == id && header.type == BTRFS_QGROUP_LIMIT_KEY &&
                 header.len >= sizeof(btrfs_qgroup_limit_item)) {
        btrfs_qgroup_limit_item limit;
        memcpy(&limit, args.buf + at, sizeof(limit));
        if ((le64toh(limit.flags) & BTRFS_QGROUP_LIMIT_MAX_RFER) != 0)
          usage.limit_bytes = static_cast<int64_t>(le64toh(limit.max_rfer));
      }
      at += header.len;
    }
    if (header.type >= BTRFS_QGROUP_LIMIT_KEY && header.offset >= id) return usage;
    args.key.min_type = header.type;
    args.key.min_offset = header.offset + 1;
    args.key.max_offset = ~uint64_t{0};
    args.key.nr_items = 4096;
  }
}

}  // namespace ashlar::sys
