// Bytes of block devices: how many, and making them zero. Thread-safe.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "lib/base/call_context.h"

namespace ashlar::sys {

absl::StatusOr<int64_t> BlockDeviceBytes(const std::string& device);

// What I/O should be a multiple of, by the device's own word; 0: it does not tell.
int64_t OptimalIoBytes(const std::string& device);

// From now on the range reads as zero, on the medium when SyncFile has returned. Blocks are
// deallocated only if the device promises that such blocks read as zero (write zeroes with unmap);
// else zeros are written, by the device itself where it can.
absl::Status ZeroRange(int fd, int64_t offset_bytes, int64_t size_bytes, absl::string_view path);

// ZeroRange of the device from `offset_bytes` to its end, piece by piece, and synced.
// FailedPrecondition: it is in use. Cancelled: the context was stopped; a part is done.
absl::Status ZeroDevice(const CallContext& context, const std::string& device,
                        int64_t offset_bytes);

// Exactly `bytes` of the file or device. Internal: it ends before.
absl::StatusOr<std::string> ReadAt(const std::string& path, int64_t offset_bytes, size_t bytes);
// On the medium when it returns.
absl::Status WriteAt(const std::string& path, int64_t offset_bytes, absl::string_view bytes);

}  // namespace ashlar::sys
