// Block devices may forget what they hold. Thread-safe.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"

namespace ashlar::sys {

// The device may forget the bytes of the range; what they read as afterwards is not said.
// Unimplemented: it cannot forget.
absl::Status DiscardRange(int fd, int64_t offset_bytes, int64_t size_bytes,
                          const std::string& path);

}  // namespace ashlar::sys
