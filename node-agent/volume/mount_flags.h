// Mount options that a StorageClass or a pod may ask for: an allow-list. Pure; thread-safe.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/system/mount_table.h"

namespace ashlar::node_agent {

// InvalidArgument names an option that is not accepted, and why where there is a reason.
absl::StatusOr<sys::MountOptions> ParseMountFlags(const std::vector<std::string>& mount_flags,
                                                  const std::string& fs_type);

// Every option that is accepted for a filesystem, sorted; and every one that is refused for a
// reason, with the reason.
std::vector<std::string> AcceptedMountFlags(const std::string& fs_type);
std::vector<std::pair<std::string, std::string>> RefusedMountFlags();

}  // namespace ashlar::node_agent
