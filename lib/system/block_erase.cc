#include "lib/system/block_erase.h"

#include <blkid/blkid.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>

#include "absl/strings/str_cat.h"
#include "lib/base/status_macros.h"
#include "lib/system/errno_status.h"
#include "lib/system/exclusive_open.h"
#include "lib/system/files.h"

namespace ashlar::sys {
namespace {

constexpr int64_t kEndBytes = 1 << 20;

absl::Status EraseMagic(const UniqueFd& fd, const std::string& device) {
  const std::unique_ptr<blkid_struct_probe, decltype(&blkid_free_probe)> probe(blkid_new_probe(),
                                                                               &blkid_free_probe);
  if (probe == nullptr || blkid_probe_set_device(probe.get(), fd.get(), 0, 0) != 0)
    return absl::InternalError(absl::StrCat("blkid cannot read ", device));
  blkid_probe_enable_superblocks(probe.get(), 1);
  blkid_probe_set_superblocks_flags(probe.get(), BLKID_SUBLKS_MAGIC | BLKID_SUBLKS_TYPE);
  blkid_probe_enable_partitions(probe.get(), 1);
  blkid_probe_set_partitions_flags(probe.get(), BLKID_PARTS_MAGIC | BLKID_PARTS_FORCE_GPT);
  while (blkid_do_probe(probe.get()) == 0)
    if (blkid_do_wipe(probe.get(), 0) != 0)
      return ErrnoStatus(errno, absl::StrCat("erase a signature of ", device));
  return absl::OkStatus();
}

absl::Status WriteZeros(const UniqueFd& fd, const std::string& device, int64_t from, int64_t to) {
  const std::string zeros(64 << 10, '\0');
  while (from < to) {
    const auto bytes = std::min<int64_t>(static_cast<int64_t>(zeros.size()), to - from);
    const ssize_t written = pwrite(fd.get(), zeros.data(), static_cast<size_t>(bytes), from);
    if (written < 0) return ErrnoStatus(errno, absl::StrCat("write to ", device));
    from += written;
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status EraseSignatures(const std::string& device) {
  ASHLAR_ASSIGN_OR_RETURN(const UniqueFd fd, OpenExclusively(device, O_RDWR));
  const int64_t size = lseek(fd.get(), 0, SEEK_END);
  if (size < 0) return ErrnoStatus(errno, absl::StrCat("seek in ", device));
  ASHLAR_RETURN_IF_ERROR(EraseMagic(fd, device));
  ASHLAR_RETURN_IF_ERROR(WriteZeros(fd, device, 0, std::min(size, kEndBytes)));
  ASHLAR_RETURN_IF_ERROR(WriteZeros(fd, device, std::max<int64_t>(0, size - kEndBytes), size));
  ASHLAR_RETURN_IF_ERROR(SyncFile(fd.get(), device));
  // Devices without partitions refuse it; partitions that stay keep the drive a used one.
  ioctl(fd.get(), BLKRRPART);
  return absl::OkStatus();
}

}  // namespace ashlar::sys
