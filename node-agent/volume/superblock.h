// What the superblock of an unmounted ext4 or xfs filesystem tells. Pure; thread-safe. Sources:
// the kernel's Documentation/filesystems/ext4/super.rst, and "XFS Algorithms & Data Structures".
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace ashlar::node_agent {

struct SuperblockState {
  bool needs_check = false;  // fsck must look at it before it is mounted
  std::string uuid;          // in small letters
  int64_t size_bytes = 0;    // of the filesystem, which may be less than its device
};

constexpr size_t kSuperblockBytes = 4096;

// `head`: the first kSuperblockBytes of the device. FailedPrecondition: there is no such
// filesystem.
absl::StatusOr<SuperblockState> ParseSuperblock(absl::string_view fs_type, absl::string_view head);

}  // namespace ashlar::node_agent
