// Subvolumes of btrfs and their quotas, by ioctl. A subvolume is named by the directory that it is.
// Thread-safe; errors are those of ErrnoStatus and name the path. Sources: btrfs-ioctl(2),
// include/uapi/linux/btrfs.h and btrfs_tree.h, the kernel's fs/btrfs/qgroup.c.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"

namespace ashlar::sys {

absl::StatusOr<bool> IsBtrfs(const std::string& path);

// Makes the filesystem count what each subvolume refers to; OK if it does already.
absl::Status EnableQuota(const std::string& path);

absl::Status CreateSubvolume(const std::string& path);
// An atomic copy of `source`, a subvolume, at `path`. It has the limit of no one.
absl::Status SnapshotSubvolume(const std::string& source, const std::string& path, bool read_only);
// With everything in it, and its quota; the space comes back soon after. Absent is OK.
// FailedPrecondition: it is in use as a mount point.
absl::Status DeleteSubvolume(const std::string& path);

// Everything that was done to the filesystem is on the medium when it returns.
absl::Status CommitBtrfs(const std::string& path);

// The most bytes that the subvolume may refer to: a write beyond it fails with EDQUOT.
absl::Status LimitSubvolume(const std::string& path, int64_t bytes);
struct SubvolumeUsage {
  int64_t referenced_bytes = 0;
  int64_t limit_bytes = 0;  // 0: none
};
// As of the last commit of the filesystem.
absl::StatusOr<SubvolumeUsage> ReadSubvolumeUsage(const std::string& path);

}  // namespace ashlar::sys
