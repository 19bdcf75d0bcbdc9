// Copies of files that share their blocks until one of them is written, and which blocks those are.
// Thread-safe; errors are those of ErrnoStatus and name the path.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace ashlar::sys {

// Makes `to`, which must be empty, a copy of `from` as it is at one moment (FICLONE); writers wait
// meanwhile, about 20 µs for each extent. Unimplemented: the filesystem cannot share blocks.
absl::Status CloneFile(int from, int to, absl::string_view to_path);
// Whether files in the directory can be cloned.
absl::StatusOr<bool> CanClone(const std::string& directory);

struct FileExtent {
  uint64_t logical = 0;   // where it begins in the file
  uint64_t physical = 0;  // and on the device
  uint64_t bytes = 0;
  bool shared = false;   // with another file
  bool written = false;  // false: reads as zero
  bool operator==(const FileExtent&) const = default;
};
// In the order of the file (FIEMAP). Unimplemented where the filesystem does not tell.
absl::StatusOr<std::vector<FileExtent>> ListExtents(const std::string& path);

}  // namespace ashlar::sys
