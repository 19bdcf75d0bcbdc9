// Files that refuse every change, also by root: they cannot be written, renamed, linked or removed
// until the flag is taken off (FS_IMMUTABLE_FL of FS_IOC_SETFLAGS; what chattr calls i).
// Thread-safe.
#pragma once

#include <string>

#include "absl/status/status.h"

namespace ashlar::sys {

// NotFound: no such file. Unimplemented: its filesystem has no such flag. PermissionDenied: this
// process may not change it (CAP_LINUX_IMMUTABLE). What is so already changes nothing.
absl::Status SetImmutable(const std::string& path, bool immutable);

}  // namespace ashlar::sys
