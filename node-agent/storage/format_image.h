// FormatImage: puts an empty filesystem into the file or onto the device of a volume. Thread-safe.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "lib/base/call_context.h"
#include "lib/system/command_runner.h"

namespace ashlar::node_agent {

struct ImageToFormat {
  std::string fs_type;  // ext4 or xfs
  int64_t size_bytes = 0;
  int fd = -1;            // open for writing; all of it reads as zero
  std::string path;       // of the same file or block device
  std::string uuid = "";  // of the filesystem; empty: a random one
};

// Keeps the blocks that the file has. What is written is not synced. Errors carry what mkfs said.
absl::Status FormatImage(sys::CommandRunner& commands, const CallContext& context,
                         const ImageToFormat& image);

}  // namespace ashlar::node_agent
