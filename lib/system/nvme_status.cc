#include "lib/system/nvme_status.h"

#include <array>

#include "absl/strings/str_cat.h"

namespace ashlar::sys {
namespace {

using absl::StatusCode;

struct Known {
  NvmeStatus status;  // type and code
  StatusCode code;
  absl::string_view name;
};

constexpr std::array kKnown = {
    Known{0x001, StatusCode::kUnimplemented, "Invalid Command Opcode"},
    Known{0x002, StatusCode::kUnimplemented, "Invalid Field in Command"},
    Known{0x004, StatusCode::kInternal, "Data Transfer Error"},
    Known{0x006, StatusCode::kInternal, "Internal Error"},
    Known{0x007, StatusCode::kInternal, "Command Abort Requested"},
    Known{0x00b, StatusCode::kNotFound, "Invalid Namespace or Format"},
    Known{0x015, StatusCode::kInternal, "Operation Denied"},
    Known{0x01c, StatusCode::kInternal, "Sanitize Failed"},
    Known{0x01d, StatusCode::kInternal, "Sanitize In Progress"},
    Known{0x020, StatusCode::kInternal, "Namespace is Write Protected"},
    Known{0x082, StatusCode::kInternal, "Namespace Not Ready"},
    Known{0x084, StatusCode::kInternal, "Format In Progress"},
    Known{0x10a, StatusCode::kUnimplemented, "Invalid Format"},
    Known{0x115, StatusCode::kResourceExhausted, "Namespace Insufficient Capacity"},
    Known{0x116, StatusCode::kResourceExhausted, "Namespace Identifier Unavailable"},
    Known{0x118, StatusCode::kAlreadyExists, "Namespace Already Attached"},
    Known{0x119, StatusCode::kInternal, "Namespace Is Private"},
    Known{0x11a, StatusCode::kNotFound, "Namespace Not Attached"},
    Known{0x11b, StatusCode::kUnimplemented, "Thin Provisioning Not Supported"},
    Known{0x11c, StatusCode::kInternal, "Controller List Invalid"},
    Known{0x11d, StatusCode::kInternal, "Device Self-test In Progress"},
    Known{0x124, StatusCode::kInternal, "ANA Group Identifier Invalid"},
    Known{0x125, StatusCode::kInternal, "ANA Attach Failed"},
    Known{0x126, StatusCode::kResourceExhausted, "Insufficient Capacity"},
    Known{0x127, StatusCode::kResourceExhausted, "Namespace Attachment Limit Exceeded"},
};
constexpr Known kUnknown{0, StatusCode::kInternal, "unknown"};

const Known& Find(NvmeStatus status) {
  for (const Known& known : kKnown)
    if (known.status == (status & 0x7ff)) return known;
  return kUnknown;
}

}  // namespace

absl::string_view NvmeStatusName(NvmeStatus status) { return Find(status).name; }

std::string DescribeNvmeStatus(NvmeStatus status) {
  return absl::StrCat(NvmeStatusName(status), " (status 0x", absl::Hex(status, absl::kZeroPad4),
                      ")");
}

absl::Status NvmeStatusError(NvmeStatus status, absl::string_view what) {
  return {Find(status).code, absl::StrCat(what, ": ", DescribeNvmeStatus(status))};
}

}  // namespace ashlar::sys
