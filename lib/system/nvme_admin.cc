#include "lib/system/nvme_admin.h"

#include <fcntl.h>
#include <linux/nvme_ioctl.h>
#include <sys/ioctl.h>

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "lib/base/status_macros.h"
#include "lib/system/errno_status.h"
#include "lib/system/files.h"
#include "lib/system/nvme_pages.h"

namespace ashlar::sys {
namespace {

constexpr uint8_t kGetLogPage = 0x02;
constexpr uint8_t kIdentify = 0x06;
constexpr uint32_t kAllNamespaces = 0xffffffff;

absl::StatusOr<std::string> Submit(const std::string& device, nvme_admin_cmd command,
                                   uint32_t bytes) {
  ASHLAR_ASSIGN_OR_RETURN(const UniqueFd fd, OpenFile(device, O_RDONLY | O_NONBLOCK));
  std::string answer(bytes, '\0');
  command.addr = reinterpret_cast<uintptr_t>(answer.data());
  command.data_len = bytes;
  const int status = ioctl(fd.get(), NVME_IOCTL_ADMIN_CMD, &command);
  const auto what = [&] {
    return absl::StrCat("NVMe admin command ", static_cast<int>(command.opcode), " to ", device);
  };
  if (status < 0) return ErrnoStatus(errno, what());
  if (status > 0)
    return absl::InternalError(
        absl::StrCat(what(), ": status 0x", absl::Hex(status, absl::kZeroPad4)));
  return answer;
}

}  // namespace

absl::StatusOr<std::string> KernelNvmeAdmin::Identify(const std::string& device, uint8_t structure,
                                                      uint32_t nsid) {
  nvme_admin_cmd command{};
  command.opcode = kIdentify;
  command.nsid = nsid;
  command.cdw10 = structure;
  return Submit(device, command, kNvmeIdentifyBytes);
}

absl::StatusOr<std::string> KernelNvmeAdmin::ReadLog(const std::string& device, uint8_t log,
                                                     uint32_t bytes) {
  nvme_admin_cmd command{};
  command.opcode = kGetLogPage;
  command.nsid = kAllNamespaces;
  command.cdw10 = (bytes / 4 - 1) << 16 | log;
  return Submit(device, command, bytes);
}

}  // namespace ashlar::sys
