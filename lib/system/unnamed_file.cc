#include "lib/system/unnamed_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "lib/system/errno_status.h"
#include "lib/system/files.h"

namespace ashlar::sys {

absl::StatusOr<UniqueFd> OpenUnnamedFile(const std::string& directory, mode_t mode) {
  return OpenFile(directory, O_RDWR | O_TMPFILE, mode);
}

absl::Status NameFile(int fd, const std::string& path) {
  // By way of /proc, since linkat of the descriptor itself wants CAP_DAC_READ_SEARCH (linkat(2)).
  const std::string unnamed = absl::StrCat("/proc/self/fd/", fd);
  if (linkat(AT_FDCWD, unnamed.c_str(), AT_FDCWD, path.c_str(), AT_SYMLINK_FOLLOW) != 0)
    return ErrnoStatus(errno, absl::StrCat("name ", path));
  return absl::OkStatus();
}

}  // namespace ashlar::sys
