#include "node-agent/storage/room.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace ashlar::node_agent {

int64_t FloorMiB(int64_t bytes) { return std::max<int64_t>(0, bytes) / kMiB * kMiB; }

absl::Status CheckRoom(const PoolUsage& usage, int64_t more_bytes) {
  if (more_bytes <= usage.largest_bytes) return absl::OkStatus();
  return absl::ResourceExhaustedError(absl::StrCat(
      more_bytes, " bytes are wanted, ", usage.largest_bytes, " can be allocated of a capacity of ",
      usage.capacity_bytes, ", of which ", usage.allocated_bytes, " are allocated"));
}

}  // namespace ashlar::node_agent
