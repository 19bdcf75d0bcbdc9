// NvmeAdmin: the admin commands by which a drive tells who it is and how it is. None of them
// changes anything. Thread-safe.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"

namespace ashlar::sys {

class NvmeAdmin {
 public:
  virtual ~NvmeAdmin() = default;

  // The 4096 bytes of Identify. `device` is a controller (/dev/nvme0) or a namespace
  // (/dev/nvme0n1), which for several paths sends the command over one that works. NotFound: there
  // is no such device. Internal: the controller refuses; tells its status.
  virtual absl::StatusOr<std::string> Identify(const std::string& device, uint8_t structure,
                                               uint32_t nsid) = 0;
  // The first `bytes`, a multiple of 4 up to 4096, of a log of the whole controller. Errors as
  // above.
  virtual absl::StatusOr<std::string> ReadLog(const std::string& device, uint8_t log,
                                              uint32_t bytes) = 0;
};

// CNS of Identify.
enum NvmeIdentify : uint8_t {
  kNvmeIdentifyNamespace = 0x00,
  kNvmeIdentifyController = 0x01,
  kNvmeIdentifyNamespaceIds = 0x03,
};
constexpr uint8_t kNvmeLogHealth = 0x02;

// NVME_IOCTL_ADMIN_CMD (include/uapi/linux/nvme_ioctl.h), as root. A command that the controller
// does not answer ends after the kernel's own time for admin commands (60 s): a shorter one would
// make the driver reset a controller that is merely busy.
class KernelNvmeAdmin final : public NvmeAdmin {
 public:
  absl::StatusOr<std::string> Identify(const std::string& device, uint8_t structure,
                                       uint32_t nsid) override;
  absl::StatusOr<std::string> ReadLog(const std::string& device, uint8_t log,
                                      uint32_t bytes) override;
};

}  // namespace ashlar::sys
