// Files that only their owner may read. No state; thread-safe.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace ashlar::standalone {

// NotFound if it is absent; otherwise errors name the path and the reason.
absl::StatusOr<std::string> ReadFile(const std::string& path);

// Replaces the file at once, with mode 0600, and syncs it: after a crash there is the old or the
// new text.
absl::Status WritePrivateFile(const std::string& path, absl::string_view text);

// Makes the directory, with mode 0700, and those above it.
absl::Status MakePrivateDirectory(const std::string& path);

}  // namespace ashlar::standalone
