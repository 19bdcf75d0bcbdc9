#include "lib/system/block_device.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "lib/base/status_macros.h"
#include "lib/system/errno_status.h"
#include "lib/system/exclusive_open.h"
#include "lib/system/files.h"

namespace ashlar::sys {
namespace {

// So much is zeroed in some milliseconds by a drive that can, in a second by one that writes.
constexpr int64_t kPieceBytes = int64_t{256} << 20;

}  // namespace

absl::StatusOr<int64_t> BlockDeviceBytes(const std::string& device) {
  ASHLAR_ASSIGN_OR_RETURN(const UniqueFd fd, OpenFile(device, O_RDONLY));
  uint64_t bytes = 0;
  if (ioctl(fd.get(), BLKGETSIZE64, &bytes) != 0)
    return ErrnoStatus(errno, absl::StrCat("size of ", device));
  return static_cast<int64_t>(bytes);
}

int64_t OptimalIoBytes(const std::string& device) {
  const std::string name = device.substr(device.rfind('/') + 1);
  const std::string text =
      ReadFile(absl::StrCat("/sys/class/block/", name, "/queue/optimal_io_size")).value_or("");
  int64_t bytes = 0;
  return absl::SimpleAtoi(absl::StripAsciiWhitespace(text), &bytes) ? bytes : 0;
}

absl::Status ZeroRange(int fd, int64_t offset_bytes, int64_t size_bytes, absl::string_view path) {
  // The kernel refuses to punch where it could not do so without writing (block/fops.c).
  if (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset_bytes, size_bytes) == 0)
    return absl::OkStatus();
  uint64_t range[2] = {static_cast<uint64_t>(offset_bytes), static_cast<uint64_t>(size_bytes)};
  if (ioctl(fd, BLKZEROOUT, range) == 0) return absl::OkStatus();
  return ErrnoStatus(errno, absl::StrCat("zero ", path));
}

absl::Status ZeroDevice(const CallContext& context, const std::string& device,
                        int64_t offset_bytes) {
  ASHLAR_ASSIGN_OR_RETURN(const UniqueFd fd, OpenExclusively(device, O_RDWR));
  ASHLAR_ASSIGN_OR_RETURN(const int64_t size, BlockDeviceBytes(device));
  for (int64_t at = offset_bytes; at < size; at += kPieceBytes) {
    if (context.stop.stop_requested())
      return absl::CancelledError(absl::StrCat("zeroing ", device, " was called off"));
    ASHLAR_RETURN_IF_ERROR(ZeroRange(fd.get(), at, std::min(kPieceBytes, size - at), device));
  }
  return SyncFile(fd.get(), device);
}

absl::StatusOr<std::string> ReadAt(const std::string& path, int64_t offset_bytes, size_t bytes) {
  ASHLAR_ASSIGN_OR_RETURN(const UniqueFd fd, OpenFile(path, O_RDONLY));
  std::string data(bytes, '\0');
  for (size_t done = 0; done < bytes;) {
    const ssize_t n = pread(fd.get(), data.data() + done, bytes - done,
                            offset_bytes + static_cast<int64_t>(done));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoStatus(errno, absl::StrCat("read ", path));
    if (n == 0) return absl::InternalError(absl::StrCat(path, " ends too early"));
    done += static_cast<size_t>(n);
  }
  return data;
}

absl::Status WriteAt(const std::string& path, int64_t offset_bytes, absl::string_view bytes) {
  ASHLAR_ASSIGN_OR_RETURN(const UniqueFd fd, OpenFile(path, O_RDWR));
  for (size_t done = 0; done < bytes.size();) {
    const ssize_t n = pwrite(fd.get(), bytes.data() + done, bytes.size() - done,
                             offset_bytes + static_cast<int64_t>(done));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoStatus(errno, absl::StrCat("write ", path));
    done += static_cast<size_t>(n);
  }
  return SyncFile(fd.get(), path);
}

}  // namespace ashlar::sys
