#include "lib/system/nvme_commands.h"

#include <fcntl.h>
#include <linux/nvme_ioctl.h>
#include <sys/ioctl.h>

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "lib/base/status_macros.h"
#include "lib/system/errno_status.h"
#include "lib/system/files.h"

namespace ashlar::sys {
namespace {

constexpr uint32_t kCreate = 0, kDelete = 1;  // SEL of Namespace Management
constexpr uint32_t kAttach = 0, kDetach = 1;  // SEL of Namespace Attachment
constexpr uint32_t kCryptoErase = 2;          // SES of Format NVM
// Drives with much to put in order take their time for these.
constexpr uint32_t kPatienceMs = 600'000;

// OK, or the status as an error.
absl::Status Run(NvmeCommands& commands, const std::string& controller, const NvmeCommand& command,
                 const std::string& what) {
  ASHLAR_ASSIGN_OR_RETURN(const NvmeCompletion done, commands.Submit(controller, command));
  return done.status == 0
             ? absl::OkStatus()
             : NvmeStatusError(done.status, absl::StrCat(controller, " refuses to ", what));
}

NvmeCommand Attachment(uint32_t select, uint32_t nsid, const std::vector<uint16_t>& controllers) {
  return {kNvmeNamespaceAttachment, nsid, select, MakeNvmeControllerList(controllers)};
}

}  // namespace

absl::StatusOr<NvmeCompletion> KernelNvmeCommands::Submit(const std::string& controller,
                                                          const NvmeCommand& command) {
  ASHLAR_ASSIGN_OR_RETURN(const UniqueFd fd, OpenFile(controller, O_RDONLY | O_NONBLOCK));
  NvmeCompletion done;
  done.data = command.data;
  nvme_admin_cmd admin{};
  admin.opcode = command.opcode;
  admin.nsid = command.nsid;
  admin.cdw10 = command.cdw10;
  admin.addr = reinterpret_cast<uintptr_t>(done.data.data());
  admin.data_len = static_cast<uint32_t>(done.data.size());
  if (command.opcode != kNvmeIdentify) admin.timeout_ms = kPatienceMs;
  const int status = ioctl(fd.get(), NVME_IOCTL_ADMIN_CMD, &admin);
  if (status < 0)
    return ErrnoStatus(errno, absl::StrCat("NVMe admin command 0x", absl::Hex(command.opcode),
                                           " to ", controller));
  done.status = static_cast<NvmeStatus>(status);
  done.result = admin.result;
  return done;
}

absl::Status KernelNvmeCommands::Rescan(const std::string& controller) {
  ASHLAR_ASSIGN_OR_RETURN(const UniqueFd fd, OpenFile(controller, O_RDONLY | O_NONBLOCK));
  if (ioctl(fd.get(), NVME_IOCTL_RESCAN) == 0) return absl::OkStatus();
  return ErrnoStatus(errno, absl::StrCat("rescan the namespaces of ", controller));
}

absl::StatusOr<std::string> IdentifyNvme(NvmeCommands& commands, const std::string& controller,
                                         uint8_t structure, uint32_t nsid) {
  const NvmeCommand command{kNvmeIdentify, nsid, structure, std::string(kNvmeIdentifyBytes, '\0')};
  ASHLAR_ASSIGN_OR_RETURN(NvmeCompletion done, commands.Submit(controller, command));
  if (done.status == 0) return std::move(done.data);
  return NvmeStatusError(done.status, absl::StrCat(controller, " refuses Identify 0x",
                                                   absl::Hex(structure), " of namespace ", nsid));
}

absl::StatusOr<NvmeCreated> CreateNvmeNamespace(NvmeCommands& commands,
                                                const std::string& controller,
                                                const NvmeNewNamespace& space) {
  const NvmeCommand command{kNvmeNamespaceManagement, 0, kCreate, MakeNvmeNewNamespace(space)};
  ASHLAR_ASSIGN_OR_RETURN(const NvmeCompletion done, commands.Submit(controller, command));
  if (done.status == 0 && (done.result == 0 || done.result == kNvmeEveryNamespace))
    return absl::InternalError(absl::StrCat(controller, " created a namespace without an id"));
  return NvmeCreated{done.status, done.result};
}

absl::Status DeleteNvmeNamespace(NvmeCommands& commands, const std::string& controller,
                                 uint32_t nsid) {
  if (nsid == kNvmeEveryNamespace)
    return absl::InvalidArgumentError("this would delete every namespace");
  return Run(commands, controller, {kNvmeNamespaceManagement, nsid, kDelete},
             absl::StrCat("delete namespace ", nsid));
}

absl::Status AttachNvmeNamespace(NvmeCommands& commands, const std::string& controller,
                                 uint32_t nsid, const std::vector<uint16_t>& controllers) {
  const absl::Status status = Run(commands, controller, Attachment(kAttach, nsid, controllers),
                                  absl::StrCat("attach namespace ", nsid));
  return absl::IsAlreadyExists(status) ? absl::OkStatus() : status;
}

absl::Status DetachNvmeNamespace(NvmeCommands& commands, const std::string& controller,
                                 uint32_t nsid, const std::vector<uint16_t>& controllers) {
  const NvmeCommand command = Attachment(kDetach, nsid, controllers);
  ASHLAR_ASSIGN_OR_RETURN(const NvmeCompletion done, commands.Submit(controller, command));
  constexpr NvmeStatus kNotAttached = 0x11a;
  if (done.status == 0 || (done.status & 0x7ff) == kNotAttached) return absl::OkStatus();
  return NvmeStatusError(done.status,
                         absl::StrCat(controller, " refuses to detach namespace ", nsid));
}

absl::Status CryptoEraseNvmeNamespace(NvmeCommands& commands, const std::string& controller,
                                      uint32_t nsid, uint8_t format) {
  if (nsid == 0 || nsid == kNvmeEveryNamespace)
    return absl::InvalidArgumentError("this would erase every namespace");
  const uint32_t lbaf = (format & 0xfU) | (format >> 4 & 3U) << 12;
  return Run(commands, controller, {kNvmeFormat, nsid, lbaf | kCryptoErase << 9},
             absl::StrCat("erase namespace ", nsid));
}

}  // namespace ashlar::sys
