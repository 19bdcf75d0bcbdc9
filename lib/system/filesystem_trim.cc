#include "lib/system/filesystem_trim.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "lib/base/status_macros.h"
#include "lib/system/errno_status.h"
#include "lib/system/files.h"

namespace ashlar::sys {

absl::StatusOr<int64_t> KernelFilesystemTrim::Trim(const std::string& mount_point, uint32_t major,
                                                   uint32_t minor, int64_t start, int64_t length) {
  ASHLAR_ASSIGN_OR_RETURN(const UniqueFd fd,
                          OpenFile(mount_point, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  struct stat info;
  if (fstat(fd.get(), &info) != 0) return ErrnoStatus(errno, absl::StrCat("fstat ", mount_point));
  if (gnu_dev_major(info.st_dev) != major || gnu_dev_minor(info.st_dev) != minor)
    return absl::NotFoundError(
        absl::StrCat("device ", major, ":", minor, " is not mounted at ", mount_point));
  fstrim_range range = {};
  range.start = static_cast<uint64_t>(start);
  range.len = static_cast<uint64_t>(length);
  if (ioctl(fd.get(), FITRIM, &range) == 0) return static_cast<int64_t>(range.len);
  if (errno == EINVAL)
    return absl::OutOfRangeError(absl::StrCat("trim of ", mount_point, " at byte ", start));
  return ErrnoStatus(errno, absl::StrCat("trim of ", mount_point));
}

}  // namespace ashlar::sys
