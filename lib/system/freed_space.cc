#include "lib/system/freed_space.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <cerrno>
#include <limits>

#include "absl/strings/str_cat.h"
#include "lib/base/status_macros.h"
#include "lib/system/errno_status.h"
#include "lib/system/extent_map.h"
#include "lib/system/files.h"

namespace ashlar::sys {
namespace {

constexpr uint32_t kBatch = 512;
// Each trim has its price, however little it trims: the filesystem's journal is written out.
constexpr size_t kMostRanges = 16;
constexpr int64_t kNear = int64_t{64} << 20;

}  // namespace

std::vector<SpaceRange> JoinRanges(std::vector<SpaceRange> ranges, size_t most) {
  std::sort(ranges.begin(), ranges.end(),
            [](const SpaceRange& a, const SpaceRange& b) { return a.start_bytes < b.start_bytes; });
  std::vector<SpaceRange> joined;
  for (const SpaceRange& range : ranges) {
    const int64_t end = range.start_bytes + range.size_bytes;
    if (joined.empty() ||
        range.start_bytes - joined.back().start_bytes - joined.back().size_bytes > kNear) {
      joined.push_back(range);
      continue;
    }
    SpaceRange& last = joined.back();
    last.size_bytes = std::max(last.size_bytes, end - last.start_bytes);
  }
  if (joined.size() <= most) return joined;
  const SpaceRange& last = joined.back();
  const int64_t start = joined.front().start_bytes;
  return {{start, last.start_bytes + last.size_bytes - start}};
}

absl::StatusOr<std::vector<SpaceRange>> SpaceOf(int fd, absl::string_view path) {
  std::vector<SpaceRange> ranges;
  for (uint64_t from = 0;;) {
    ASHLAR_ASSIGN_OR_RETURN(const std::vector<MappedExtent> extents,
                            MapExtents(fd, from, kBatch, path));
    for (const MappedExtent& extent : extents)
      if (extent.located)
        ranges.push_back(
            {static_cast<int64_t>(extent.physical), static_cast<int64_t>(extent.bytes)});
    ranges = JoinRanges(std::move(ranges), 16 * kMostRanges);
    if (extents.size() < kBatch) return JoinRanges(std::move(ranges), kMostRanges);
    from = extents.back().logical + extents.back().bytes;
  }
}

absl::Status TrimSpace(const std::string& directory, const std::vector<SpaceRange>& ranges) {
  ASHLAR_ASSIGN_OR_RETURN(const UniqueFd fd, OpenFile(directory, O_RDONLY | O_DIRECTORY));
  for (const SpaceRange& wanted : ranges) {
    fstrim_range range = {};
    range.start = static_cast<uint64_t>(wanted.start_bytes);
    range.len = static_cast<uint64_t>(wanted.size_bytes);
    if (ioctl(fd.get(), FITRIM, &range) != 0)
      return ErrnoStatus(errno, absl::StrCat("trim what is free of ", directory));
  }
  return absl::OkStatus();
}

absl::Status TrimAllSpace(const std::string& directory) {
  return TrimSpace(directory, {{0, std::numeric_limits<int64_t>::max()}});
}

}  // namespace ashlar::sys
