// What a filesystem has freed, forgotten by the device below it (FITRIM, fstrim(8)). Thread-safe.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace ashlar::sys {

// Of a filesystem's addresses, as FIEMAP and FITRIM have them.
struct SpaceRange {
  int64_t start_bytes = 0;
  int64_t size_bytes = 0;
  bool operator==(const SpaceRange&) const = default;
};

// Where the open file's bytes lie: a few ranges, which may cover what is between them.
// Unimplemented where the filesystem does not tell.
absl::StatusOr<std::vector<SpaceRange>> SpaceOf(int fd, absl::string_view path);

// Discards what is free in the ranges, or in all of the filesystem that the directory is on. What
// is not free stays. Unimplemented: filesystem or device do not discard.
absl::Status TrimSpace(const std::string& directory, const std::vector<SpaceRange>& ranges);
absl::Status TrimAllSpace(const std::string& directory);

// Joins ranges: those that are near each other, and all of them if there are more than `most`.
std::vector<SpaceRange> JoinRanges(std::vector<SpaceRange> ranges, size_t most);

}  // namespace ashlar::sys
