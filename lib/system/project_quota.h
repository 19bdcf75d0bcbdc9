// Project quotas of XFS: what lies below a directory of a project counts for the project, whoever
// writes it. Thread-safe; errors are those of ErrnoStatus and name the path. Needs Linux 5.14.
// Sources: quotactl_fd(2), quotactl(2), include/uapi/linux/dqblk_xfs.h, the kernel's
// Documentation/admin-guide/xfs.rst.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"

namespace ashlar::sys {

// Whether the filesystem that the path lies on counts projects and refuses writes beyond their
// limits: XFS that was mounted with prjquota.
absl::StatusOr<bool> HasProjectQuota(const std::string& path);

// Of a directory; 0 is no project.
absl::StatusOr<uint32_t> ReadProject(const std::string& directory);
// Puts an empty directory into the first project from `first` on that holds nothing and has no
// limits; what is made in the directory belongs to the project too. The project.
absl::StatusOr<uint32_t> JoinFreeProject(const std::string& directory, uint32_t first);

// Beyond them writes and new files fail with ENOSPC (projects know no EDQUOT). 0: no limit.
struct ProjectLimits {
  int64_t bytes = 0;
  int64_t files = 0;
};
absl::Status LimitProject(const std::string& path, uint32_t project, const ProjectLimits& limits);
// Bytes of blocks that the project holds, also those that are not written back yet.
absl::StatusOr<int64_t> ReadProjectBytes(const std::string& path, uint32_t project);

}  // namespace ashlar::sys
