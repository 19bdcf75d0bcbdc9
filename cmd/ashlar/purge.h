// `ashlar purge`: unmounts and removes everything that a standalone instance made.
#pragma once

#include "absl/status/status.h"
#include "cmd/ashlar/data_directory.h"
#include "lib/base/clock.h"

namespace ashlar::standalone {

// No instance may run (FailedPrecondition). It starts one itself, since only the agent knows how to
// take volumes and pools apart: unmounts, deletes all volumes, then all pools, waits until they are
// gone, and removes the files. If anything stays, nothing more is removed and the message says
// what; it can be repeated.
absl::Status Purge(DataDirectory& directory, Clock& clock);

}  // namespace ashlar::standalone
