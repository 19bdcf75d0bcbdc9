// What every backend says of the room in its pool. Pure; thread-safe.
#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "node-agent/storage/storage_backend.h"

namespace ashlar::node_agent {

// Down to a multiple of 1 MiB; 0 for what is negative.
int64_t FloorMiB(int64_t bytes);

// ResourceExhausted, with what there is, unless a volume can get `more_bytes`.
absl::Status CheckRoom(const PoolUsage& usage, int64_t more_bytes);

}  // namespace ashlar::node_agent
