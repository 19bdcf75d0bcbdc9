// Files and directories. Durable means: on the medium when the function returns, so that neither a
// killed process nor a power cut can undo it. All functions are thread-safe; errors are those of
// ErrnoStatus and name the path.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "lib/system/unique_fd.h"

namespace ashlar::sys {

// At most `max_bytes` of the file; ResourceExhausted if it is longer.
absl::StatusOr<std::string> ReadFile(const std::string& path, size_t max_bytes = 1 << 20);
// The first `bytes` of a file or device, or less if it ends before.
absl::StatusOr<std::string> ReadHead(const std::string& path, size_t bytes);
// Writes to an existing file in one write, as sysfs and procfs want it.
absl::Status WriteExisting(const std::string& path, absl::string_view text);

enum class Durability {
  kProcessCrash,  // outlives this process: what a reboot makes void anyway
  kPowerCut,      // on the medium
};
// Replaces the file as a whole: readers, also after a power cut, see all of the old or all of the
// new content.
absl::Status ReplaceFileDurably(const std::string& path, absl::string_view content);
// Makes `content`, filled up with newlines, the file's first page; what the file has after that
// stays. The kernel takes up one page in one step, so that the death of this process leaves the old
// or the new page; a power cut may leave neither. Several times faster than a replacement.
// OutOfRange: more than kPageBytes.
inline constexpr size_t kPageBytes = 4096;
absl::Status WritePage(const std::string& path, absl::string_view content);
// Removes the file; absent is OK.
absl::Status RemoveFile(const std::string& path, Durability durability);
absl::Status RenameDurably(const std::string& from, const std::string& to);
absl::Status SyncDirectory(const std::string& path);

// Makes the directory and its missing parents with `mode`; OK if it is there. FailedPrecondition if
// something else has the name.
absl::Status EnsureDirectory(const std::string& path, mode_t mode = 0755);
absl::Status RemoveEmptyDirectory(const std::string& path);  // absent is OK
// Names without . and .., sorted.
absl::StatusOr<std::vector<std::string>> ListDirectory(const std::string& path);

struct FileIdentity {
  uint64_t device = 0;
  uint64_t inode = 0;
  bool operator==(const FileIdentity&) const = default;
  auto operator<=>(const FileIdentity&) const = default;
};
struct FileStat {
  FileIdentity identity;
  uint64_t special_device = 0;  // of a device node
  int64_t size_bytes = 0;
  int64_t used_bytes = 0;  // blocks that the filesystem gave to it
  mode_t permissions = 0;
  bool is_directory = false;
  bool is_regular = false;
  bool is_block_device = false;
};
absl::StatusOr<FileStat> StatFile(const std::string& path);
bool Exists(const std::string& path);

struct FilesystemStat {
  int64_t total_bytes = 0;
  int64_t free_bytes = 0;
  int64_t available_bytes = 0;  // to unprivileged users
  int64_t total_inodes = 0;
  int64_t free_inodes = 0;
};
absl::StatusOr<FilesystemStat> StatFilesystem(const std::string& path);

absl::StatusOr<UniqueFd> OpenFile(const std::string& path, int flags, mode_t mode = 0);
// Gives every byte of [from, size) a block, keeps what is written, and grows the file to `size`.
// Bytes that were never written read as zero, whatever their blocks held before. XFS wants room for
// the whole range, also for blocks that are there already: name no more than what is missing.
// ResourceExhausted: the filesystem is full; the file may have grown.
absl::Status Preallocate(int fd, int64_t from_bytes, int64_t size_bytes, absl::string_view path);
absl::Status Truncate(int fd, int64_t size_bytes, absl::string_view path);
absl::Status SyncFile(int fd, absl::string_view path);
// A file in memory, all zero, that goes with its last user.
absl::StatusOr<UniqueFd> MakeMemoryFile(const std::string& name, int64_t size_bytes);
// The path under which other processes of this machine can open it too, while this one holds it.
std::string SharedPath(const UniqueFd& file);
// Copies what `from` holds to the same places of `to`; its holes are not copied.
absl::Status CopyData(int from, int to, absl::string_view to_path);
// Number of extents that the file consists of (FIEMAP). Unimplemented where it does not tell.
absl::StatusOr<int64_t> CountExtents(const std::string& path);

absl::StatusOr<std::string> GetAttribute(const std::string& path, const std::string& name);
absl::Status SetAttribute(int fd, const std::string& name, absl::string_view value,
                          absl::string_view path);

// Creates the file or directory if absent and opens it as a handle (O_PATH). No component of
// `path` may be a symbolic link: FailedPrecondition.
enum class HandleKind { kDirectory, kFile };
absl::StatusOr<UniqueFd> EnsureHandle(const std::string& path, HandleKind kind);
absl::StatusOr<UniqueFd> OpenHandle(const std::string& path);
// The path under which the kernel finds what a handle refers to.
std::string HandlePath(const UniqueFd& handle);
// `path` with all symbolic links resolved.
absl::StatusOr<std::string> RealPath(const std::string& path);

}  // namespace ashlar::sys
