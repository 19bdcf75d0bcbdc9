// Claims of block devices. Thread-safe.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "lib/system/unique_fd.h"

namespace ashlar::sys {

// Opens the device with `flags` and O_EXCL: while the handle is open nobody else mounts or claims
// it. FailedPrecondition if somebody has, for longer than a second: udev and the kernel claim a
// device for moments, to read its partition table or to throw away what is cached of it
// (disk_scan_partitions in block/genhd.c, truncate_bdev_range in block/bdev.c).
absl::StatusOr<UniqueFd> OpenExclusively(const std::string& device, int flags);

}  // namespace ashlar::sys
