// What lies on a block device or image, by libblkid; and whether anybody uses the device.
// Thread-safe.
#pragma once

#include <string>

#include "absl/status/statusor.h"

namespace ashlar::sys {

struct Signature {
  std::string type;             // "xfs", "LVM2_member", ...; empty: none
  std::string uuid;             // of the filesystem
  std::string label;            // of the filesystem
  std::string partition_table;  // "gpt", "dos", ...; empty: none
  std::string partition_table_uuid;
  bool empty() const { return type.empty() && partition_table.empty(); }
};

// Reads the device; never writes. More than one signature (an ambivalent result) is reported as the
// type "ambivalent": such a device is not free.
absl::StatusOr<Signature> ProbeSignature(const std::string& path);

// Makes a filesystem of this type and UUID no filesystem: its magic bytes go. A device without one
// stays as it is. FailedPrecondition: the device is in use.
absl::Status EraseFilesystem(const std::string& path, const std::string& type,
                             const std::string& uuid);

// OK if the device can be opened for exclusive use at this moment; FailedPrecondition if not: it is
// mounted, part of an array, or claimed by another process.
absl::Status ProbeExclusive(const std::string& path);

}  // namespace ashlar::sys
