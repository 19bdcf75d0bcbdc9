// NVMe admin commands, also those that change something. Namespace management (NVM Express Base
// Specification 2.0, chapters 5.20 and 5.23), and the erasing of one namespace. Thread-safe.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/system/nvme_namespace_pages.h"
#include "lib/system/nvme_status.h"

namespace ashlar::sys {

// Opcodes. Their lowest two bits say whither data goes.
enum NvmeOpcode : uint8_t {
  kNvmeIdentify = 0x06,
  kNvmeNamespaceManagement = 0x0d,
  kNvmeNamespaceAttachment = 0x15,
  kNvmeFormat = 0x80,
};

// CNS of Identify, beside those of nvme_admin.h.
enum NvmeIdentifyAllocated : uint8_t {
  kNvmeIdentifyAllocatedList = 0x10,        // ids above the one that is named
  kNvmeIdentifyAllocatedNamespace = 0x11,   // also of one that is attached nowhere
  kNvmeIdentifyAttachedControllers = 0x12,  // of the namespace
  kNvmeIdentifyGranularity = 0x16,
};

constexpr uint32_t kNvmeEveryNamespace = 0xffffffff;

struct NvmeCommand {
  uint8_t opcode = 0;
  uint32_t nsid = 0;
  uint32_t cdw10 = 0;
  std::string data = {};  // that the controller gets, or is to fill: 4096 bytes, or none
};
struct NvmeCompletion {
  NvmeStatus status = 0;
  uint32_t result = 0;  // dword 0
  std::string data = {};
};

class NvmeCommands {
 public:
  virtual ~NvmeCommands() = default;
  // Sends the command to the controller (/dev/nvme0) and waits for its completion, whose status
  // may be anything. An error: the command could not be sent, or nobody knows what became of it.
  // NotFound: there is no such controller.
  virtual absl::StatusOr<NvmeCompletion> Submit(const std::string& controller,
                                                const NvmeCommand& command) = 0;
  // Has the kernel look for namespaces that came or went. It does so soon after.
  virtual absl::Status Rescan(const std::string& controller) = 0;
};

// NVME_IOCTL_ADMIN_CMD and NVME_IOCTL_RESCAN, as root.
class KernelNvmeCommands final : public NvmeCommands {
 public:
  absl::StatusOr<NvmeCompletion> Submit(const std::string& controller,
                                        const NvmeCommand& command) override;
  absl::Status Rescan(const std::string& controller) override;
};

// The page. What the controller refuses is an error of NvmeStatusError; others are Submit's.
absl::StatusOr<std::string> IdentifyNvme(NvmeCommands& commands, const std::string& controller,
                                         uint8_t structure, uint32_t nsid);

// The id of the new namespace, which is attached to no controller, or the status of the refusal.
struct NvmeCreated {
  NvmeStatus status = 0;
  uint32_t nsid = 0;
};
absl::StatusOr<NvmeCreated> CreateNvmeNamespace(NvmeCommands& commands,
                                                const std::string& controller,
                                                const NvmeNewNamespace& space);
// Errors as IdentifyNvme.
absl::Status DeleteNvmeNamespace(NvmeCommands& commands, const std::string& controller,
                                 uint32_t nsid);
// OK also where it is attached already, or detached already.
absl::Status AttachNvmeNamespace(NvmeCommands& commands, const std::string& controller,
                                 uint32_t nsid, const std::vector<uint16_t>& controllers);
absl::Status DetachNvmeNamespace(NvmeCommands& commands, const std::string& controller,
                                 uint32_t nsid, const std::vector<uint16_t>& controllers);
// Format NVM with cryptographic erase, in the format that the namespace has. Whether the command
// touches other namespaces is NvmeManagement::erases_one_namespace.
absl::Status CryptoEraseNvmeNamespace(NvmeCommands& commands, const std::string& controller,
                                      uint32_t nsid, uint8_t format);

}  // namespace ashlar::sys
