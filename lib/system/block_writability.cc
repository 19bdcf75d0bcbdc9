#include "lib/system/block_writability.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "lib/base/status_macros.h"
#include "lib/system/errno_status.h"
#include "lib/system/files.h"

namespace ashlar::sys {

absl::Status SetReadOnly(const std::string& device, bool read_only) {
  ASHLAR_ASSIGN_OR_RETURN(const UniqueFd fd, OpenFile(device, O_RDONLY | O_NONBLOCK));
  int now = 0;
  if (ioctl(fd.get(), BLKROGET, &now) == 0 && (now != 0) == read_only) return absl::OkStatus();
  const int wanted = read_only ? 1 : 0;
  if (ioctl(fd.get(), BLKROSET, &wanted) == 0) return absl::OkStatus();
  return ErrnoStatus(errno, absl::StrCat("BLKROSET ", device));
}

}  // namespace ashlar::sys
