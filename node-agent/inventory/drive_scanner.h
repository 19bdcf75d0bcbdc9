// DriveScanner: which drives this machine has, who they are, and whether they are proven free.
// A drive is known by its identifiers, never by its /dev name. Sources: the kernel's
// Documentation/ABI (sysfs-block, sysfs-class-nvme), libblkid, /proc/swaps, mountinfo. Reads only.
// Thread-safe.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/system/loop_devices.h"
#include "lib/system/mount_table.h"
#include "node-agent/inventory/drive.h"

namespace ashlar::node_agent {

// Labels of loop devices that are volumes begin with this: they are never drives.
constexpr char kLoopLabelPrefix[] = "ashlar:";

struct DriveScannerOptions {
  std::string sys_root = "/sys";
  std::string dev_root = "/dev";
  std::string proc_root = "/proc";
};

class DriveScanner {
 public:
  DriveScanner(sys::MountTable& mounts, sys::LoopDevices& loops, DriveScannerOptions options = {})
      : mounts_(mounts), loops_(loops), options_(std::move(options)) {}

  // All drives, sorted by id. Loop devices are left out unless a shell pattern in `named_paths`
  // names them. What cannot be read is not free.
  absl::StatusOr<std::vector<Drive>> Scan(const std::vector<std::string>& named_paths);

  // Why the drive must not be written to, looked up afresh; empty if it is proven free.
  std::string BusyReason(const Drive& drive);
  // Who uses the drive or one of its partitions at this moment, whatever lies on it: a mount, a
  // holder, swap, a loop device or an exclusive claim; or that it is read-only. Empty: nobody.
  std::string UseReason(const Drive& drive);

 private:
  Drive Read(const std::string& name) const;
  std::string ReadAttribute(const std::string& name, const std::string& attribute) const;
  // Fills signature and busy_reason.
  void Probe(Drive& drive);
  std::string FindUser(const Drive& drive);
  std::string FindUserOf(const std::string& name, const std::string& directory);
  absl::StatusOr<std::vector<std::string>> Partitions(const std::string& name) const;

  sys::MountTable& mounts_;
  sys::LoopDevices& loops_;
  const DriveScannerOptions options_;
};

// Empty if `raw` is empty or consists of zeros after its kind ("eui.0000000000000000"); else `raw`
// without blanks at its ends.
std::string UsableIdentifier(absl::string_view raw);

// Whether the path, or one of the links to it that the pattern matches, names the device.
bool PatternNames(const std::string& pattern, const std::string& device);

}  // namespace ashlar::node_agent
