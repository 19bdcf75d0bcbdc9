// Whether a block device takes writes. Thread-safe.
#pragma once

#include <string>

#include "absl/status/status.h"

namespace ashlar::sys {

// From now on the device refuses writes, of whoever opens it, or takes them again (BLKROSET). A
// mount's or an open file's right to write to the device is not taken back. NotFound: there is no
// such device.
absl::Status SetReadOnly(const std::string& device, bool read_only);

}  // namespace ashlar::sys
