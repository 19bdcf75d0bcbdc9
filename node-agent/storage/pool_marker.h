// PoolMarker: a file in the directory of a pool that says whose it is. Thread-safe.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "node-agent/storage/pool_types.h"

namespace ashlar::node_agent {

// Makes `root` this pool's, or finds that it is. NotReady: another pool has volumes there.
absl::Status ClaimPoolRoot(const PoolSpec& spec, const std::string& root);
// Removes the marker and the directory of the volumes, which is empty.
absl::Status ClearPoolRoot(const std::string& root);

}  // namespace ashlar::node_agent
