#include "lib/system/extent_map.h"

#include <linux/fiemap.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "lib/system/errno_status.h"

namespace ashlar::sys {
namespace {

constexpr uint32_t kNotLocated = FIEMAP_EXTENT_UNKNOWN | FIEMAP_EXTENT_DELALLOC |
                                 FIEMAP_EXTENT_ENCODED | FIEMAP_EXTENT_DATA_ENCRYPTED |
                                 FIEMAP_EXTENT_NOT_ALIGNED | FIEMAP_EXTENT_DATA_INLINE |
                                 FIEMAP_EXTENT_DATA_TAIL;

}  // namespace

absl::StatusOr<std::vector<MappedExtent>> MapExtents(int fd, uint64_t from, uint32_t most,
                                                     absl::string_view path) {
  std::vector<char> buffer(sizeof(fiemap) + most * sizeof(fiemap_extent));
  auto* request = new (buffer.data()) fiemap{};
  request->fm_start = from;
  request->fm_length = FIEMAP_MAX_OFFSET - from;
  request->fm_extent_count = most;
  request->fm_flags = FIEMAP_FLAG_SYNC;
  int rc;
  do {
    rc = ioctl(fd, FS_IOC_FIEMAP, request);
  } while (rc != 0 && errno == EINTR);
  if (rc != 0) return ErrnoStatus(errno, absl::StrCat("FIEMAP of ", path));
  std::vector<MappedExtent> extents;
  extents.reserve(request->fm_mapped_extents);
  for (uint32_t i = 0; i < request->fm_mapped_extents; ++i) {
    const fiemap_extent& extent = request->fm_extents[i];
    extents.push_back({extent.fe_logical, extent.fe_physical, extent.fe_length,
                       (extent.fe_flags & FIEMAP_EXTENT_UNWRITTEN) == 0,
                       (extent.fe_flags & kNotLocated) == 0});
  }
  return extents;
}

absl::StatusOr<OpenFileStat> StatOpenFile(int fd, absl::string_view path) {
  struct stat stat;
  if (fstat(fd, &stat) != 0) return ErrnoStatus(errno, absl::StrCat("stat of ", path));
  return OpenFileStat{stat.st_size, stat.st_nlink > 0};
}

}  // namespace ashlar::sys
