// Files that have no name until they are whole: a process that dies before leaves nothing behind.
// Thread-safe; errors are those of ErrnoStatus and name the path.
#pragma once

#include <sys/types.h>

#include <string>

#include "absl/status/statusor.h"
#include "lib/system/unique_fd.h"

namespace ashlar::sys {

// For reading and writing, on the directory's filesystem (O_TMPFILE, open(2)). Unimplemented: the
// filesystem has none.
absl::StatusOr<UniqueFd> OpenUnnamedFile(const std::string& directory, mode_t mode);
// Gives the file its only name; AlreadyExists if something has it. The name is on the medium when
// SyncFile of the file has returned, with all that was done to the file before: XFS, btrfs and ext4
// log the name together with the inode.
absl::Status NameFile(int fd, const std::string& path);

}  // namespace ashlar::sys
