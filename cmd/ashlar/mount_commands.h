// `ashlar mount` and `ashlar umount`: calls of the CSI node service of a running instance, and a
// record of each mount so that umount and purge know whose it is. No state in memory.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "cmd/ashlar/data_directory.h"
#include "lib/base/clock.h"

namespace ashlar::standalone {

struct MountRecord {
  std::string volume;
  std::string path;
};

// Stages the volume below the data directory and publishes it at `path`. Safe to repeat.
// FailedPrecondition if the volume is not carved, with its own reason.
absl::Status Mount(const DataDirectory& directory, const std::string& csi_endpoint,
                   const std::string& volume, const std::string& path, bool read_only,
                   Clock& clock);

// Unpublishes `path` and, if it was the last of its volume, unstages. NotFound if nothing was
// mounted there with Mount.
absl::Status Unmount(const DataDirectory& directory, const std::string& csi_endpoint,
                     const std::string& path, Clock& clock);

// Every mount that was made and not ended.
absl::StatusOr<std::vector<MountRecord>> ListMounts(const DataDirectory& directory);

}  // namespace ashlar::standalone
