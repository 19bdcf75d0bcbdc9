// Parser of /proc/self/mountinfo (proc(5)). Pure; thread-safe.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace ashlar::sys {

struct MountEntry {
  int64_t id = 0;
  uint32_t major = 0;  // of the filesystem's device
  uint32_t minor = 0;
  std::string root;         // which directory of the filesystem is mounted
  std::string mount_point;  // without escapes
  std::string options;      // of the mount
  std::string fs_type;
  std::string source;
  std::string super_options;  // of the filesystem

  bool read_only() const;
};

// All entries in the kernel's order: of two at the same place the later lies on top.
// InvalidArgument names the line that is none.
absl::StatusOr<std::vector<MountEntry>> ParseMountInfo(absl::string_view text);

}  // namespace ashlar::sys
