// Where the bytes of an open file lie, a part at a time, so that a file of any number of extents
// needs little memory. Thread-safe; errors are those of ErrnoStatus and name the path.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace ashlar::sys {

struct MappedExtent {
  uint64_t logical = 0;   // where it begins in the file
  uint64_t physical = 0;  // and on the device
  uint64_t bytes = 0;
  bool written = false;  // false: reads as zero
  // Whether equal places on the device mean equal bytes: not of what is compressed, encrypted,
  // packed with other data or has no place yet.
  bool located = false;
  bool operator==(const MappedExtent&) const = default;
};

// In the order of the file, from the one that ends behind `from` on (FIEMAP): at most `most`, and
// fewer only where the file has no more. Unimplemented where the filesystem does not tell.
absl::StatusOr<std::vector<MappedExtent>> MapExtents(int fd, uint64_t from, uint32_t most,
                                                     absl::string_view path);

struct OpenFileStat {
  int64_t bytes = 0;
  bool has_name = false;  // it was not unlinked
};
absl::StatusOr<OpenFileStat> StatOpenFile(int fd, absl::string_view path);

}  // namespace ashlar::sys
