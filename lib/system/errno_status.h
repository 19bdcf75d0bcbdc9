// The one place where errno becomes absl::Status. Thread-safe.
#pragma once

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace ashlar::sys {

// `what` says which action failed and on what ("mount /dev/loop3 at /x"); the kernel's own words
// are added. The code says what a caller should do: ENOENT NotFound, EEXIST AlreadyExists, ENOSPC
// and EDQUOT ResourceExhausted, EBUSY FailedPrecondition (in use), EINTR and EAGAIN Unavailable,
// EOPNOTSUPP Unimplemented, all others Internal. `error` must not be 0.
absl::Status ErrnoStatus(int error, absl::string_view what);

}  // namespace ashlar::sys
