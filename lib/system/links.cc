#include "lib/system/links.h"

#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstdio>

#include "absl/strings/str_cat.h"
#include "lib/system/errno_status.h"

namespace ashlar::sys {

absl::Status EnsureLink(const std::string& target, const std::string& path) {
  char now[PATH_MAX];
  const ssize_t length = readlink(path.c_str(), now, sizeof(now));
  if (length >= 0 && target == absl::string_view(now, static_cast<size_t>(length)))
    return absl::OkStatus();
  const std::string fresh = absl::StrCat(path, ".new");
  if (unlink(fresh.c_str()) != 0 && errno != ENOENT)
    return ErrnoStatus(errno, absl::StrCat("remove ", fresh));
  if (symlink(target.c_str(), fresh.c_str()) != 0)
    return ErrnoStatus(errno, absl::StrCat("link ", fresh));
  if (rename(fresh.c_str(), path.c_str()) != 0)
    return ErrnoStatus(errno, absl::StrCat("rename ", fresh));
  return absl::OkStatus();
}

}  // namespace ashlar::sys
