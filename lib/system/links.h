// Symbolic links by which a thing is found whose name changes. Thread-safe.
#pragma once

#include <string>

#include "absl/status/status.h"

namespace ashlar::sys {

// `path` is a link to `target`; what was there before, if not a directory, is replaced in one step.
absl::Status EnsureLink(const std::string& target, const std::string& path);

}  // namespace ashlar::sys
