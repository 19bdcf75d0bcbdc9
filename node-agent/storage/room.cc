#include "node-agent/storage/room.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace ashlar::node_agent {

int64_t FloorMiB(int64_t bytes) { return std::max<int64_t>(0, bytes) / kMiB * kMiB; }

absl::Status CheckRoom(const PoolUsage& usage, int64_t more_bytes) {
  if (more_bytes <= usage.largest_bytes) return absl::OkStatus();
  return absl::ResourceExhaustedError(absl::StrCat(
      more_bytes, " bytes are wanted, ", usage.largest_bytes, " can be allocated of a capacity of ",
      usage.capacity_bytes, ", of which ", usage.allocated_bytes, " are allocated"));
}

absl::Status CheckRoom(const DriveUsage& usage, int64_t more_bytes) {
  if (more_bytes <= usage.largest_bytes) return absl::OkStatus();
  return absl::ResourceExhaustedError(
      absl::StrCat(more_bytes, " bytes are wanted on drive ", usage.id, ", ", usage.largest_bytes,
                   " is the largest volume that fits there, ", usage.allocatable_bytes,
                   " can be allocated of a capacity of ", usage.capacity_bytes));
}

absl::StatusOr<DriveUsage> FindDrive(const PoolUsage& usage, const std::string& drive) {
  std::vector<std::string> ids;
  for (const DriveUsage& one : usage.drives) {
    if (one.id == drive) return one;
    ids.push_back(one.id);
  }
  return absl::FailedPreconditionError(absl::StrCat(
      "drive is \"", drive, "\", on which the pool takes no volumes; it takes them on ",
      ids.empty() ? "none" : absl::StrJoin(ids, ", ")));
}

absl::Status CheckNoDrive(const std::string& drive) {
  if (drive.empty()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("drive is \"", drive, "\": volumes of this pool lie on no one drive"));
}

}  // namespace ashlar::node_agent
