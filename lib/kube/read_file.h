// ReadFile: a small file whole, for credentials.
#pragma once

#include <string>

#include "absl/status/statusor.h"

namespace ashlar::kube {

// NotFound or PermissionDenied as the system says, with the path.
absl::StatusOr<std::string> ReadFile(const std::string& path);

}  // namespace ashlar::kube
