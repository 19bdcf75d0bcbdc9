// Mount options that a StorageClass or a pod may ask for: an allow-list. Pure; thread-safe.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/system/mount_table.h"

namespace ashlar::node_agent {

// InvalidArgument names an option that is not accepted, and why where there is a reason.
absl::StatusOr<sys::MountOptions> ParseMountFlags(const std::vector<std::string>& mount_flags,
                                                  const std::string& fs_type);

}  // namespace ashlar::node_agent
