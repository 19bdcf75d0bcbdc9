// Files of a mounted filesystem are given to a group, as the kubelet does for a pod's fsGroup with
// fsGroupChangePolicy OnRootMismatch. Thread-safe.
#pragma once

#include <sys/types.h>

#include <string>

#include "absl/status/status.h"
#include "lib/base/call_context.h"

namespace ashlar::sys {

// Unless the directory `root` belongs to `group`, is setgid and open to the group, everything in it
// is given to the group: files readable and writable by it, folders also searchable and setgid, so
// that new files get the group too; links get the group alone. The root comes last, so that a call
// that was ended half-way is taken up by the next one. Follows no link and enters no other
// filesystem. Cancelled: the context has been stopped; OutOfRange: more than 1000 folders deep.
absl::Status GiveToGroup(const CallContext& context, const std::string& root, gid_t group);

}  // namespace ashlar::sys
