// Mount options that a StorageClass or a pod may ask for: an allow-list. Pure; thread-safe.
#pragma once

#include <sys/mount.h>

#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/system/mount_table.h"

namespace ashlar::node_agent {

// InvalidArgument names an option that is not accepted, and why where there is a reason.
absl::StatusOr<sys::MountOptions> ParseMountFlags(const std::vector<std::string>& mount_flags,
                                                  const std::string& fs_type);

// What a bind mount can have for itself; other flags are its filesystem's.
inline constexpr unsigned long kPerMountFlags = MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC |
                                                MS_NOATIME | MS_NODIRATIME | MS_RELATIME |
                                                MS_STRICTATIME;

// InvalidArgument names an option that a directory, whose filesystem others share, cannot have.
absl::Status CheckDirectoryFlags(const std::vector<std::string>& mount_flags);

// Every option that is accepted for a volume that is a directory, sorted.
std::vector<std::string> AcceptedDirectoryFlags();

// Every option that is accepted for a filesystem, sorted; and every one that is refused for a
// reason, with the reason.
std::vector<std::string> AcceptedMountFlags(const std::string& fs_type);
std::vector<std::pair<std::string, std::string>> RefusedMountFlags();

}  // namespace ashlar::node_agent
