// Removal of whole directories. Thread-safe.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "lib/base/call_context.h"

namespace ashlar::sys {

// Removes the directory and everything below it, of one filesystem; symbolic links are removed and
// not followed. Absent is OK. Cancelled when the context stops: the next call goes on.
// FailedPrecondition: something is mounted below it.
absl::Status RemoveTree(const CallContext& context, const std::string& path);

}  // namespace ashlar::sys
