#include "lib/system/project_quota.h"

#include <fcntl.h>
#include <linux/dqblk_xfs.h>
#include <linux/fs.h>
#include <linux/quota.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "lib/base/mutex.h"
#include "lib/base/status_macros.h"
#include "lib/system/errno_status.h"
#include "lib/system/files.h"

namespace ashlar::sys {
namespace {

constexpr int64_t kBasicBlockBytes = 512;  // the unit of struct fs_disk_quota

int Quota(int fd, unsigned command, uint32_t project, void* argument) {
  return static_cast<int>(syscall(SYS_quotactl_fd, fd, QCMD(command, PRJQUOTA), project, argument));
}

absl::StatusOr<fsxattr> Attributes(int fd, const std::string& directory) {
  fsxattr attributes{};
  if (ioctl(fd, FS_IOC_FSGETXATTR, &attributes) != 0)
    return ErrnoStatus(errno, absl::StrCat("read the project of ", directory));
  return attributes;
}

// The kernel skips projects that hold nothing and have no limits.
absl::StatusOr<uint32_t> FreeProject(int fd, uint32_t first, const std::string& path) {
  for (uint32_t project = first; project != 0; ++project) {
    fs_disk_quota next{};
    if (Quota(fd, Q_XGETNEXTQUOTA, project, &next) != 0) {
      if (errno == ENOENT || errno == ESRCH) return project;
      return ErrnoStatus(errno, absl::StrCat("list the projects of ", path));
    }
    if (next.d_id != project) return project;
  }
  return absl::ResourceExhaustedError(absl::StrCat("every project of ", path, " is in use"));
}

}  // namespace

absl::StatusOr<bool> HasProjectQuota(const std::string& path) {
  ASHLAR_ASSIGN_OR_RETURN(const UniqueFd fd, OpenFile(path, O_RDONLY | O_DIRECTORY));
  fs_quota_statv state{};
  state.qs_version = FS_QSTATV_VERSION1;
  if (Quota(fd.get(), Q_XGETQSTATV, 0, &state) == 0)
    return (state.qs_flags & FS_QUOTA_PDQ_ENFD) != 0;
  // What a filesystem without quotas answers, and a kernel without them.
  if (errno == ENOSYS || errno == EINVAL || errno == ENOTSUP || errno == ESRCH) return false;
  return ErrnoStatus(errno, absl::StrCat("read the quota state of ", path));
}

absl::StatusOr<uint32_t> ReadProject(const std::string& directory) {
  ASHLAR_ASSIGN_OR_RETURN(const UniqueFd fd, OpenFile(directory, O_RDONLY | O_DIRECTORY));
  ASHLAR_ASSIGN_OR_RETURN(const fsxattr attributes, Attributes(fd.get(), directory));
  return uint32_t{attributes.fsx_projid};
}

absl::StatusOr<uint32_t> JoinFreeProject(const std::string& directory, uint32_t first) {
  static Mutex mu;  // nobody else joins a project between the search and its end
  MutexLock lock(mu);
  ASHLAR_ASSIGN_OR_RETURN(const UniqueFd fd, OpenFile(directory, O_RDONLY | O_DIRECTORY));
  ASHLAR_ASSIGN_OR_RETURN(fsxattr attributes, Attributes(fd.get(), directory));
  ASHLAR_ASSIGN_OR_RETURN(attributes.fsx_projid, FreeProject(fd.get(), first, directory));
  attributes.fsx_xflags |= FS_XFLAG_PROJINHERIT;
  if (ioctl(fd.get(), FS_IOC_FSSETXATTR, &attributes) != 0)
    return ErrnoStatus(errno,
                       absl::StrCat("put ", directory, " into project ", attributes.fsx_projid));
  return uint32_t{attributes.fsx_projid};
}

absl::Status LimitProject(const std::string& path, uint32_t project, const ProjectLimits& limits) {
  ASHLAR_ASSIGN_OR_RETURN(const UniqueFd fd, OpenFile(path, O_RDONLY | O_DIRECTORY));
  fs_disk_quota quota{};
  quota.d_version = FS_DQUOT_VERSION;
  quota.d_id = project;
  quota.d_flags = FS_PROJ_QUOTA;
  quota.d_fieldmask = FS_DQ_BSOFT | FS_DQ_BHARD | FS_DQ_ISOFT | FS_DQ_IHARD;
  quota.d_blk_hardlimit = static_cast<uint64_t>(limits.bytes / kBasicBlockBytes);
  quota.d_ino_hardlimit = static_cast<uint64_t>(limits.files);
  if (Quota(fd.get(), Q_XSETQLIM, project, &quota) != 0)
    return ErrnoStatus(errno, absl::StrCat("limit project ", project, " of ", path));
  return absl::OkStatus();
}

absl::StatusOr<int64_t> ReadProjectBytes(const std::string& path, uint32_t project) {
  ASHLAR_ASSIGN_OR_RETURN(const UniqueFd fd, OpenFile(path, O_RDONLY | O_DIRECTORY));
  fs_disk_quota quota{};
  if (Quota(fd.get(), Q_XGETQUOTA, project, &quota) != 0) {
    if (errno == ENOENT) return 0;  // nobody has written, and nothing is limited
    return ErrnoStatus(errno, absl::StrCat("read what project ", project, " of ", path, " holds"));
  }
  return static_cast<int64_t>(quota.d_bcount) * kBasicBlockBytes;
}

}  // namespace ashlar::sys
