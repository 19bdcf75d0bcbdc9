#include "lib/system/block_discard.h"

#include <linux/fs.h>
#include <sys/ioctl.h>

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "lib/system/errno_status.h"

namespace ashlar::sys {

absl::Status DiscardRange(int fd, int64_t offset_bytes, int64_t size_bytes,
                          const std::string& path) {
  uint64_t range[2] = {static_cast<uint64_t>(offset_bytes), static_cast<uint64_t>(size_bytes)};
  if (ioctl(fd, BLKDISCARD, range) == 0) return absl::OkStatus();
  if (errno == EOPNOTSUPP)
    return absl::UnimplementedError(absl::StrCat(path, " does not take discards"));
  return ErrnoStatus(errno, absl::StrCat("discard ", path));
}

}  // namespace ashlar::sys
