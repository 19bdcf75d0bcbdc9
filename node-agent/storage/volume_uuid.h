// UUIDs of the filesystems of volumes that nothing else marks: whose they are is read from them.
// Pure; thread-safe.
#pragma once

#include <string>

#include "absl/strings/string_view.h"

namespace ashlar::node_agent {

// The first 12 hexadecimal digits are the pool's, the others are made of pool and volume.
std::string VolumeUuid(const std::string& pool_uid, const std::string& volume_id);
// Whether some volume of the pool has it.
bool IsVolumeUuidOf(const std::string& pool_uid, absl::string_view uuid);

}  // namespace ashlar::node_agent
