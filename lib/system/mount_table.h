// MountTable: mounts of this mount namespace. Thread-safe.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/base/call_context.h"
#include "lib/system/mount_info.h"

namespace ashlar::sys {

struct MountOptions {
  unsigned long flags = 0;  // MS_...
  std::string data;         // for the filesystem, separated by commas
};

// What is mounted at a path: the answer to one question, where the list grows with the machine.
struct MountPoint {
  uint32_t major = 0;  // of the filesystem's device
  uint32_t minor = 0;
  uint32_t node_major = 0;  // of the device node that is mounted there, if it is one
  uint32_t node_minor = 0;
  uint64_t inode = 0;  // of what is mounted, in its filesystem; 0: that has stopped and tells none
};

class MountTable {
 public:
  virtual ~MountTable() = default;

  virtual absl::StatusOr<std::vector<MountEntry>> List() = 0;
  // The topmost mount at exactly `target`. NotFound: nothing is mounted there, or there is no such
  // path, or a part of it is a symbolic link.
  virtual absl::StatusOr<MountPoint> Find(const std::string& target) = 0;
  // Mounts the filesystem of a device. The target is made as a directory if absent; no part of its
  // path may be a symbolic link.
  virtual absl::Status MountDevice(const CallContext& context, const std::string& device,
                                   const std::string& target, const std::string& fs_type,
                                   const MountOptions& options) = 0;
  // Mounts what lies at `source` at `target` as well, made as a directory or file if absent.
  // `flags` of the new mount (MS_RDONLY, MS_NOATIME, ...) are set before it returns OK; if that
  // fails the mount is undone.
  virtual absl::Status Bind(const std::string& source, const std::string& target,
                            unsigned long flags) = 0;
  // Takes the topmost mount away. Nothing mounted there is OK. FailedPrecondition: files are open.
  virtual absl::Status Unmount(const std::string& target) = 0;
  // Removes an empty directory or file that was a mount point; absent is OK.
  virtual absl::Status RemoveTarget(const std::string& target) = 0;
  // Writes out the filesystem that is mounted at `target` and lets nobody write to it until Thaw:
  // its device holds what it would after an unmount, or a log that is replayed. It stays so even if
  // this process dies. FailedPrecondition: it is frozen already.
  virtual absl::Status Freeze(const std::string& target) = 0;
  // Not frozen, or nothing mounted there, is OK.
  virtual absl::Status Thaw(const std::string& target) = 0;
};

class KernelMountTable final : public MountTable {
 public:
  absl::StatusOr<std::vector<MountEntry>> List() override;
  absl::StatusOr<MountPoint> Find(const std::string& target) override;
  absl::Status MountDevice(const CallContext& context, const std::string& device,
                           const std::string& target, const std::string& fs_type,
                           const MountOptions& options) override;
  absl::Status Bind(const std::string& source, const std::string& target,
                    unsigned long flags) override;
  absl::Status Unmount(const std::string& target) override;
  absl::Status RemoveTarget(const std::string& target) override;
  absl::Status Freeze(const std::string& target) override;
  absl::Status Thaw(const std::string& target) override;
};

// The topmost mount at exactly `target`, or nullptr.
const MountEntry* FindMount(const std::vector<MountEntry>& mounts, const std::string& target);

}  // namespace ashlar::sys
