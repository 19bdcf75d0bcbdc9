// btrfs gives back what a deleted subvolume held in the background. Thread-safe.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "lib/base/call_context.h"
#include "lib/base/clock.h"

namespace ashlar::sys {

// Waits until no deleted subvolume is left of the filesystem that the directory is on, and what
// they held is free. OK at once where the filesystem is not btrfs. Errors of SleepFor, when the
// context ends before.
absl::Status AwaitDeletedSubvolumes(Clock& clock, const CallContext& context,
                                    const std::string& directory);

}  // namespace ashlar::sys
