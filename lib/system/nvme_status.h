// The one place where the status of an NVMe command becomes absl::Status. Thread-safe.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace ashlar::sys {

// What a controller answers to a command: status code, status code type and the bit Do Not Retry
// (NVM Express Base Specification 2.0, chapter 3.3.3.2.1), as Linux hands it on. 0 is success.
using NvmeStatus = uint16_t;

constexpr NvmeStatus kNvmeDoNotRetry = 0x4000;

// The specification's name: "Namespace Insufficient Capacity"; "unknown" if we do not know it.
absl::string_view NvmeStatusName(NvmeStatus status);

// "Invalid Command Opcode (status 0x4001)".
std::string DescribeNvmeStatus(NvmeStatus status);

// The status after `what`, which says who refused what. The code says what a caller should do: no
// capacity or identifier left is ResourceExhausted; an opcode, field or format that the controller
// does not know Unimplemented; a namespace that is attached already AlreadyExists; one that is not
// attached, or no namespace, NotFound; all others Internal. `status` must not be 0.
absl::Status NvmeStatusError(NvmeStatus status, absl::string_view what);

}  // namespace ashlar::sys
