// Takes away what a block device bears. Thread-safe.
#pragma once

#include <string>

#include "absl/status/status.h"

namespace ashlar::sys {

// Erases every signature that libblkid knows, as wipefs does, and the first and last MiB, where
// partition tables and the marks of arrays and volume groups are; then forgets the partitions.
// The rest of the data stays. FailedPrecondition, with nothing written: somebody has claimed the
// device or one of its partitions. It is claimed from before the first byte to after the last one.
absl::Status EraseSignatures(const std::string& device);

}  // namespace ashlar::sys
