// FilesystemTrim: tells the device below a mounted filesystem which of its blocks are free (FITRIM,
// fstrim(8)). Thread-safe; keeps nothing.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"

namespace ashlar::sys {

class FilesystemTrim {
 public:
  virtual ~FilesystemTrim() = default;
  // Discards what is free in [start, start + length) of the filesystem that is mounted at
  // `mount_point`, and returns how many bytes that were. Free space that was discarded before may
  // or may not be counted again. NotFound: the device major:minor is not mounted there (any more).
  // Unimplemented: filesystem or device do not discard. OutOfRange: `start` lies behind the end.
  virtual absl::StatusOr<int64_t> Trim(const std::string& mount_point, uint32_t major,
                                       uint32_t minor, int64_t start, int64_t length) = 0;
};

class KernelFilesystemTrim final : public FilesystemTrim {
 public:
  absl::StatusOr<int64_t> Trim(const std::string& mount_point, uint32_t major, uint32_t minor,
                               int64_t start, int64_t length) override;
};

}  // namespace ashlar::sys
