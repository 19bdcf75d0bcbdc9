#include "lib/system/remove_tree.h"

#include <fts.h>
#include <unistd.h>

#include <cerrno>
#include <memory>

#include "absl/strings/str_cat.h"
#include "lib/base/status_macros.h"
#include "lib/system/errno_status.h"
#include "lib/system/files.h"

namespace ashlar::sys {
namespace {

absl::Status RemoveEntry(const FTSENT& entry) {
  const char* path = entry.fts_accpath;
  int rc = 0;
  switch (entry.fts_info) {
    case FTS_D:
    case FTS_DOT:
      return absl::OkStatus();  // comes again when it is empty
    case FTS_DNR:
    case FTS_ERR:
    case FTS_NS:
      return ErrnoStatus(entry.fts_errno, absl::StrCat("remove ", entry.fts_path));
    case FTS_DP:
      rc = rmdir(path);
      break;
    default:
      rc = unlink(path);
  }
  return rc == 0 ? absl::OkStatus() : ErrnoStatus(errno, absl::StrCat("remove ", entry.fts_path));
}

}  // namespace

absl::Status RemoveTree(const CallContext& context, const std::string& path) {
  if (!Exists(path)) return absl::OkStatus();
  std::string root = path;
  char* const roots[] = {root.data(), nullptr};
  const std::unique_ptr<FTS, int (*)(FTS*)> walk(
      fts_open(roots, FTS_PHYSICAL | FTS_XDEV | FTS_NOCHDIR, nullptr), fts_close);
  if (walk == nullptr) return ErrnoStatus(errno, absl::StrCat("remove ", path));
  for (errno = 0; const FTSENT* entry = fts_read(walk.get()); errno = 0) {
    if (context.stop.stop_requested())
      return absl::CancelledError(absl::StrCat("removing ", path, " was called off"));
    ASHLAR_RETURN_IF_ERROR(RemoveEntry(*entry));
  }
  return errno == 0 ? absl::OkStatus() : ErrnoStatus(errno, absl::StrCat("remove ", path));
}

}  // namespace ashlar::sys
