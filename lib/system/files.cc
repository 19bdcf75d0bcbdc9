#include "lib/system/files.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "absl/strings/str_cat.h"
#include "lib/base/status_macros.h"
#include "lib/system/errno_status.h"

namespace ashlar::sys {
namespace {

std::string ParentOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

absl::Status WriteAll(int fd, absl::string_view content, const std::string& path) {
  while (!content.empty()) {
    const ssize_t put = write(fd, content.data(), content.size());
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return ErrnoStatus(errno, absl::StrCat("write ", path));
    content.remove_prefix(static_cast<size_t>(put));
  }
  return absl::OkStatus();
}

absl::StatusOr<UniqueFd> OpenNoSymlinks(const std::string& path) {
  open_how how{};
  how.flags = O_PATH | O_CLOEXEC;
  how.resolve = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
  const int fd = static_cast<int>(syscall(SYS_openat2, AT_FDCWD, path.c_str(), &how, sizeof how));
  if (fd >= 0) return UniqueFd(fd);
  if (errno == ELOOP)
    return absl::FailedPreconditionError(absl::StrCat(path, " leads through a symbolic link"));
  return ErrnoStatus(errno, absl::StrCat("open ", path));
}

}  // namespace

absl::StatusOr<UniqueFd> OpenFile(const std::string& path, int flags, mode_t mode) {
  const int fd = open(path.c_str(), flags | O_CLOEXEC, mode);
  if (fd < 0) return ErrnoStatus(errno, absl::StrCat("open ", path));
  return UniqueFd(fd);
}

absl::StatusOr<std::string> ReadFile(const std::string& path, size_t max_bytes) {
  ASHLAR_ASSIGN_OR_RETURN(const UniqueFd fd, OpenFile(path, O_RDONLY));
  std::string text;
  char buffer[16384];
  for (;;) {
    const ssize_t got = read(fd.get(), buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return ErrnoStatus(errno, absl::StrCat("read ", path));
    if (got == 0) return text;
    text.append(buffer, static_cast<size_t>(got));
    if (text.size() > max_bytes)
      return absl::ResourceExhaustedError(
          absl::StrCat(path, " is longer than ", max_bytes, " bytes"));
  }
}

absl::StatusOr<std::string> ReadHead(const std::string& path, size_t bytes) {
  ASHLAR_ASSIGN_OR_RETURN(const UniqueFd fd, OpenFile(path, O_RDONLY));
  std::string text(bytes, '\0');
  size_t have = 0;
  while (have < bytes) {
    const ssize_t got = read(fd.get(), text.data() + have, bytes - have);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return ErrnoStatus(errno, absl::StrCat("read ", path));
    if (got == 0) break;
    have += static_cast<size_t>(got);
  }
  text.resize(have);
  return text;
}

absl::Status WriteExisting(const std::string& path, absl::string_view text) {
  ASHLAR_ASSIGN_OR_RETURN(const UniqueFd fd, OpenFile(path, O_WRONLY));
  return WriteAll(fd.get(), text, path);
}

absl::Status ReplaceFileDurably(const std::string& path, absl::string_view content) {
  const std::string fresh = absl::StrCat(path, ".new");
  ASHLAR_ASSIGN_OR_RETURN(const UniqueFd fd, OpenFile(fresh, O_WRONLY | O_CREAT | O_TRUNC, 0600));
  ASHLAR_RETURN_IF_ERROR(WriteAll(fd.get(), content, fresh));
  ASHLAR_RETURN_IF_ERROR(SyncFile(fd.get(), fresh));
  return RenameDurably(fresh, path);
}

absl::Status WritePage(const std::string& path, absl::string_view content) {
  if (content.size() > kPageBytes)
    return absl::OutOfRangeError(
        absl::StrCat(content.size(), " bytes for ", path, " are more than ", kPageBytes));
  std::string page(content);
  page.resize(kPageBytes, '\n');
  ASHLAR_ASSIGN_OR_RETURN(const UniqueFd fd, OpenFile(path, O_WRONLY | O_CREAT, 0600));
  const ssize_t put = pwrite(fd.get(), page.data(), page.size(), 0);
  if (put == static_cast<ssize_t>(kPageBytes)) return absl::OkStatus();
  return ErrnoStatus(put < 0 ? errno : ENOSPC, absl::StrCat("write ", path));
}

absl::Status RemoveFile(const std::string& path, Durability durability) {
  if (unlink(path.c_str()) != 0) {
    if (errno == ENOENT) return absl::OkStatus();
    return ErrnoStatus(errno, absl::StrCat("remove ", path));
  }
  return durability == Durability::kPowerCut ? SyncDirectory(ParentOf(path)) : absl::OkStatus();
}

absl::Status RenameDurably(const std::string& from, const std::string& to) {
  if (rename(from.c_str(), to.c_str()) != 0)
    return ErrnoStatus(errno, absl::StrCat("rename ", from, " to ", to));
  return SyncDirectory(ParentOf(to));
}

absl::Status SyncDirectory(const std::string& path) {
  ASHLAR_ASSIGN_OR_RETURN(const UniqueFd fd, OpenFile(path, O_RDONLY | O_DIRECTORY));
  return SyncFile(fd.get(), path);
}

absl::Status EnsureDirectory(const std::string& path, mode_t mode) {
  if (mkdir(path.c_str(), mode) == 0) return absl::OkStatus();
  if (errno == EEXIST) {
    ASHLAR_ASSIGN_OR_RETURN(const FileStat stat, StatFile(path));
    if (stat.is_directory) return absl::OkStatus();
    return absl::FailedPreconditionError(absl::StrCat(path, " exists and is not a directory"));
  }
  if (errno != ENOENT || ParentOf(path) == path)
    return ErrnoStatus(errno, absl::StrCat("make directory ", path));
  ASHLAR_RETURN_IF_ERROR(EnsureDirectory(ParentOf(path), mode));
  if (mkdir(path.c_str(), mode) != 0 && errno != EEXIST)
    return ErrnoStatus(errno, absl::StrCat("make directory ", path));
  return absl::OkStatus();
}

absl::Status RemoveEmptyDirectory(const std::string& path) {
  if (rmdir(path.c_str()) == 0 || errno == ENOENT) return absl::OkStatus();
  return ErrnoStatus(errno, absl::StrCat("remove directory ", path));
}

absl::StatusOr<std::vector<std::string>> ListDirectory(const std::string& path) {
  DIR* dir = opendir(path.c_str());
  if (dir == nullptr) return ErrnoStatus(errno, absl::StrCat("list ", path));
  std::vector<std::string> names;
  while (const dirent* entry = readdir(dir)) {
    const absl::string_view name = entry->d_name;
    if (name != "." && name != "..") names.emplace_back(name);
  }
  closedir(dir);
  std::sort(names.begin(), names.end());
  return names;
}

absl::StatusOr<FileStat> StatFile(const std::string& path) {
  struct stat st;
  if (stat(path.c_str(), &st) != 0) return ErrnoStatus(errno, absl::StrCat("stat ", path));
  FileStat result;
  result.identity = {st.st_dev, st.st_ino};
  result.special_device = st.st_rdev;
  result.size_bytes = st.st_size;
  result.used_bytes = st.st_blocks * 512;
  result.permissions = st.st_mode & 07777;
  result.is_directory = S_ISDIR(st.st_mode);
  result.is_regular = S_ISREG(st.st_mode);
  result.is_block_device = S_ISBLK(st.st_mode);
  return result;
}

bool Exists(const std::string& path) { return access(path.c_str(), F_OK) == 0; }

absl::StatusOr<FilesystemStat> StatFilesystem(const std::string& path) {
  struct statvfs fs;
  if (statvfs(path.c_str(), &fs) != 0) return ErrnoStatus(errno, absl::StrCat("statvfs ", path));
  const int64_t block = static_cast<int64_t>(fs.f_frsize);
  FilesystemStat result;
  result.total_bytes = block * static_cast<int64_t>(fs.f_blocks);
  result.free_bytes = block * static_cast<int64_t>(fs.f_bfree);
  result.available_bytes = block * static_cast<int64_t>(fs.f_bavail);
  result.total_inodes = static_cast<int64_t>(fs.f_files);
  result.free_inodes = static_cast<int64_t>(fs.f_ffree);
  return result;
}

absl::Status Preallocate(int fd, int64_t from_bytes, int64_t size_bytes, absl::string_view path) {
  int rc;
  do {
    rc = fallocate(fd, 0, from_bytes, size_bytes - from_bytes);
  } while (rc != 0 && errno == EINTR);
  if (rc != 0) return ErrnoStatus(errno, absl::StrCat("fallocate ", size_bytes, " of ", path));
  return absl::OkStatus();
}

absl::Status Truncate(int fd, int64_t size_bytes, absl::string_view path) {
  if (ftruncate(fd, size_bytes) != 0) return ErrnoStatus(errno, absl::StrCat("truncate ", path));
  return absl::OkStatus();
}

absl::Status SyncFile(int fd, absl::string_view path) {
  if (fsync(fd) != 0) return ErrnoStatus(errno, absl::StrCat("sync ", path));
  return absl::OkStatus();
}

absl::StatusOr<UniqueFd> MakeMemoryFile(const std::string& name, int64_t size_bytes) {
  UniqueFd fd(memfd_create(name.c_str(), MFD_CLOEXEC));
  if (fd.get() < 0) return ErrnoStatus(errno, "memfd_create");
  ASHLAR_RETURN_IF_ERROR(Truncate(fd.get(), size_bytes, name));
  return fd;
}

std::string SharedPath(const UniqueFd& file) {
  return absl::StrCat("/proc/", getpid(), "/fd/", file.get());
}

absl::Status CopyData(int from, int to, absl::string_view to_path) {
  std::vector<char> buffer(256 << 10);
  off_t end = 0;
  for (;;) {
    const off_t begin = lseek(from, end, SEEK_DATA);
    if (begin < 0 && errno == ENXIO) return absl::OkStatus();
    end = begin < 0 ? -1 : lseek(from, begin, SEEK_HOLE);
    if (end < 0) return ErrnoStatus(errno, "find data");
    for (off_t at = begin; at < end;) {
      const size_t most = std::min<size_t>(buffer.size(), static_cast<size_t>(end - at));
      const ssize_t got = pread(from, buffer.data(), most, at);
      if (got <= 0) return ErrnoStatus(got == 0 ? EIO : errno, "read what is to be copied");
      for (ssize_t done = 0; done < got;) {
        const ssize_t put =
            pwrite(to, buffer.data() + done, static_cast<size_t>(got - done), at + done);
        if (put < 0) return ErrnoStatus(errno, absl::StrCat("write ", to_path));
        done += put;
      }
      at += got;
    }
  }
}

absl::StatusOr<int64_t> CountExtents(const std::string& path) {
  ASHLAR_ASSIGN_OR_RETURN(const UniqueFd fd, OpenFile(path, O_RDONLY));
  fiemap request{};
  request.fm_length = FIEMAP_MAX_OFFSET;
  if (ioctl(fd.get(), FS_IOC_FIEMAP, &request) != 0)
    return ErrnoStatus(errno, absl::StrCat("FIEMAP of ", path));
  return static_cast<int64_t>(request.fm_mapped_extents);
}

absl::StatusOr<std::string> GetAttribute(const std::string& path, const std::string& name) {
  char buffer[4096];
  const ssize_t got = getxattr(path.c_str(), name.c_str(), buffer, sizeof buffer);
  if (got >= 0) return std::string(buffer, static_cast<size_t>(got));
  if (errno == ENODATA) return absl::NotFoundError(absl::StrCat(path, " has no attribute ", name));
  return ErrnoStatus(errno, absl::StrCat("read attribute ", name, " of ", path));
}

absl::Status SetAttribute(int fd, const std::string& name, absl::string_view value,
                          absl::string_view path) {
  if (fsetxattr(fd, name.c_str(), value.data(), value.size(), 0) != 0)
    return ErrnoStatus(errno, absl::StrCat("write attribute ", name, " of ", path));
  return absl::OkStatus();
}

absl::StatusOr<UniqueFd> OpenHandle(const std::string& path) { return OpenNoSymlinks(path); }

absl::StatusOr<UniqueFd> EnsureHandle(const std::string& path, HandleKind kind) {
  absl::StatusOr<UniqueFd> there = OpenNoSymlinks(path);
  if (there.ok() || !absl::IsNotFound(there.status())) return there;
  ASHLAR_ASSIGN_OR_RETURN(const UniqueFd parent,
                          EnsureHandle(ParentOf(path), HandleKind::kDirectory));
  const std::string name = path.substr(path.rfind('/') + 1);
  int rc;
  if (kind == HandleKind::kDirectory) {
    rc = mkdirat(parent.get(), name.c_str(), 0750);
  } else {
    const UniqueFd made(
        openat(parent.get(), name.c_str(), O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0640));
    rc = made.valid() ? 0 : -1;
  }
  if (rc != 0 && errno != EEXIST) return ErrnoStatus(errno, absl::StrCat("make ", path));
  return OpenNoSymlinks(path);
}

std::string HandlePath(const UniqueFd& handle) {
  return absl::StrCat("/proc/self/fd/", handle.get());
}

absl::StatusOr<std::string> RealPath(const std::string& path) {
  char* resolved = realpath(path.c_str(), nullptr);
  if (resolved == nullptr) return ErrnoStatus(errno, absl::StrCat("resolve ", path));
  std::string text(resolved);
  free(resolved);
  return text;
}

}  // namespace ashlar::sys
