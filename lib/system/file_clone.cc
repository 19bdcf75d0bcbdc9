#include "lib/system/file_clone.h"

#include <fcntl.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <sys/ioctl.h>

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "lib/base/status_macros.h"
#include "lib/system/errno_status.h"
#include "lib/system/files.h"

namespace ashlar::sys {

absl::Status CloneFile(int from, int to, absl::string_view to_path) {
  int rc;
  do {
    rc = ioctl(to, FICLONE, from);
  } while (rc != 0 && errno == EINTR);
  if (rc != 0) return ErrnoStatus(errno, absl::StrCat("clone to ", to_path));
  return absl::OkStatus();
}

absl::StatusOr<bool> CanClone(const std::string& directory) {
  const absl::StatusOr<UniqueFd> from = OpenFile(directory, O_RDWR | O_TMPFILE, 0600);
  const absl::StatusOr<UniqueFd> to = OpenFile(directory, O_RDWR | O_TMPFILE, 0600);
  // What has no files without names has no shared blocks either.
  if (absl::IsUnimplemented(from.status())) return false;
  ASHLAR_RETURN_IF_ERROR(from.status());
  ASHLAR_RETURN_IF_ERROR(to.status());
  const absl::Status cloned = CloneFile(from->get(), to->get(), directory);
  if (absl::IsUnimplemented(cloned)) return false;
  ASHLAR_RETURN_IF_ERROR(cloned);
  return true;
}

absl::StatusOr<std::vector<FileExtent>> ListExtents(const std::string& path) {
  constexpr uint32_t kBatch = 512;
  ASHLAR_ASSIGN_OR_RETURN(const UniqueFd fd, OpenFile(path, O_RDONLY));
  std::vector<char> buffer(sizeof(fiemap) + kBatch * sizeof(fiemap_extent));
  std::vector<FileExtent> extents;
  uint64_t start = 0;
  for (;;) {
    auto* request = new (buffer.data()) fiemap{};
    request->fm_start = start;
    request->fm_length = FIEMAP_MAX_OFFSET - start;
    request->fm_extent_count = kBatch;
    if (ioctl(fd.get(), FS_IOC_FIEMAP, request) != 0)
      return ErrnoStatus(errno, absl::StrCat("FIEMAP of ", path));
    for (uint32_t i = 0; i < request->fm_mapped_extents; ++i) {
      const fiemap_extent& extent = request->fm_extents[i];
      extents.push_back({extent.fe_logical, extent.fe_physical, extent.fe_length,
                         (extent.fe_flags & FIEMAP_EXTENT_SHARED) != 0,
                         (extent.fe_flags & FIEMAP_EXTENT_UNWRITTEN) == 0});
      if ((extent.fe_flags & FIEMAP_EXTENT_LAST) != 0) return extents;
      start = extent.fe_logical + extent.fe_length;
    }
    if (request->fm_mapped_extents == 0) return extents;
  }
}

}  // namespace ashlar::sys
