#include "lib/system/group_ownership.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <memory>

#include "absl/strings/str_cat.h"
#include "lib/base/status_macros.h"
#include "lib/system/errno_status.h"
#include "lib/system/unique_fd.h"

namespace ashlar::sys {
namespace {

constexpr int kMaxDepth = 1000;
constexpr mode_t kFileBits = 0660;
constexpr mode_t kFolderBits = S_ISGID | 0770;
constexpr mode_t kModeBits = 07777;

struct Walk {
  const CallContext& context;
  gid_t group;
  dev_t device;
};

bool Matches(const struct stat& have, gid_t group, mode_t bits) {
  return have.st_gid == group && (have.st_mode & bits) == bits;
}

// `fd` may be opened with O_PATH. The descriptor's own name in /proc leads to that file and nowhere
// else, whatever has been put in its place since.
absl::Status Give(int fd, const struct stat& have, gid_t group, const std::string& name) {
  const bool folder = S_ISDIR(have.st_mode);
  const mode_t bits = folder ? kFolderBits : kFileBits;
  if (S_ISLNK(have.st_mode) ? have.st_gid == group : Matches(have, group, bits)) {
    return absl::OkStatus();
  }
  if (fchownat(fd, "", static_cast<uid_t>(-1), group, AT_EMPTY_PATH) != 0)
    return ErrnoStatus(errno, absl::StrCat("chgrp ", name));
  if (S_ISLNK(have.st_mode)) return absl::OkStatus();
  if (chmod(absl::StrCat("/proc/self/fd/", fd).c_str(), (have.st_mode & kModeBits) | bits) != 0)
    return ErrnoStatus(errno, absl::StrCat("chmod ", name));
  return absl::OkStatus();
}

absl::Status GiveContents(const Walk& walk, int folder, const std::string& name, int depth);

absl::Status GiveEntry(const Walk& walk, int folder, const std::string& name, int depth) {
  const UniqueFd entry(openat(folder, name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
  if (entry.get() < 0 && errno == ENOENT) return absl::OkStatus();  // a pod removed it meanwhile
  if (entry.get() < 0) return ErrnoStatus(errno, absl::StrCat("open ", name));
  struct stat have = {};
  if (fstat(entry.get(), &have) != 0) return ErrnoStatus(errno, absl::StrCat("stat ", name));
  if (have.st_dev != walk.device) return absl::OkStatus();
  if (S_ISDIR(have.st_mode))
    ASHLAR_RETURN_IF_ERROR(GiveContents(walk, entry.get(), name, depth + 1));
  return Give(entry.get(), have, walk.group, name);
}

absl::Status GiveContents(const Walk& walk, int folder, const std::string& name, int depth) {
  if (walk.context.stop.stop_requested())
    return absl::CancelledError("giving files to a group was ended");
  if (depth > kMaxDepth)
    return absl::OutOfRangeError(absl::StrCat("more than ", kMaxDepth, " folders deep at ", name));
  const int list = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (list < 0) return ErrnoStatus(errno, absl::StrCat("open ", name));
  const std::unique_ptr<DIR, int (*)(DIR*)> entries(fdopendir(list), closedir);
  if (entries == nullptr) {
    close(list);
    return absl::InternalError(absl::StrCat("cannot list ", name));
  }
  for (;;) {
    errno = 0;
    const dirent* entry = readdir(entries.get());
    if (entry == nullptr) break;
    const std::string child = entry->d_name;
    if (child == "." || child == "..") continue;
    ASHLAR_RETURN_IF_ERROR(GiveEntry(walk, folder, child, depth));
  }
  return errno == 0 ? absl::OkStatus() : ErrnoStatus(errno, absl::StrCat("list ", name));
}

}  // namespace

absl::Status GiveToGroup(const CallContext& context, const std::string& root, gid_t group) {
  const UniqueFd folder(open(root.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (folder.get() < 0) return ErrnoStatus(errno, absl::StrCat("open ", root));
  struct stat have = {};
  if (fstat(folder.get(), &have) != 0) return ErrnoStatus(errno, absl::StrCat("stat ", root));
  if (Matches(have, group, kFolderBits)) return absl::OkStatus();
  ASHLAR_RETURN_IF_ERROR(GiveContents({context, group, have.st_dev}, folder.get(), root, 0));
  return Give(folder.get(), have, group, root);
}

}  // namespace ashlar::sys
