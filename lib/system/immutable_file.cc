#include "lib/system/immutable_file.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "lib/base/status_macros.h"
#include "lib/system/errno_status.h"
#include "lib/system/files.h"

namespace ashlar::sys {
namespace {

absl::Status FlagError(const std::string& path) {
  const std::string what = absl::StrCat("flags of ", path);
  if (errno == ENOTTY || errno == EOPNOTSUPP || errno == ENOSYS)
    return absl::UnimplementedError(absl::StrCat(what, ": the filesystem has none"));
  if (errno == EPERM || errno == EACCES)
    return absl::PermissionDeniedError(absl::StrCat(what, ": CAP_LINUX_IMMUTABLE is needed"));
  return ErrnoStatus(errno, what);
}

}  // namespace

absl::Status SetImmutable(const std::string& path, bool immutable) {
  ASHLAR_ASSIGN_OR_RETURN(const UniqueFd fd, OpenFile(path, O_RDONLY));
  int flags = 0;  // the kernel reads and writes an int, whatever the name says
  if (ioctl(fd.get(), FS_IOC_GETFLAGS, &flags) != 0) return FlagError(path);
  const int wanted = immutable ? flags | FS_IMMUTABLE_FL : flags & ~FS_IMMUTABLE_FL;
  if (wanted == flags) return absl::OkStatus();
  if (ioctl(fd.get(), FS_IOC_SETFLAGS, &wanted) != 0) return FlagError(path);
  return absl::OkStatus();
}

}  // namespace ashlar::sys
