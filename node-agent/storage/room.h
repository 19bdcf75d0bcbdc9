// What every backend says of the room in its pool. Pure; thread-safe.
#pragma once

#include <cstdint>

#include "absl/status/statusor.h"
#include "node-agent/storage/storage_backend.h"

namespace ashlar::node_agent {

// Down to a multiple of 1 MiB; 0 for what is negative.
int64_t FloorMiB(int64_t bytes);

// ResourceExhausted, with what there is, unless a volume can get `more_bytes`.
absl::Status CheckRoom(const PoolUsage& usage, int64_t more_bytes);
// The same on one drive.
absl::Status CheckRoom(const DriveUsage& usage, int64_t more_bytes);

// The room of the drive that a Create names. FailedPrecondition, with those that can be named, if
// it is none of them.
absl::StatusOr<DriveUsage> FindDrive(const PoolUsage& usage, const std::string& drive);
// InvalidArgument if a drive is named, for a pool whose volumes lie on no one drive.
absl::Status CheckNoDrive(const std::string& drive);

}  // namespace ashlar::node_agent
