// Attachments: how volumes become what can be mounted. An image file gets a loop device of its own;
// a block device or a directory is attached as it is. What belongs to a volume is known by the
// identity of its image, node or directory, never by a name alone. Thread-safe.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/base/call_context.h"
#include "lib/system/loop_devices.h"
#include "lib/system/mount_table.h"
#include "node-agent/storage/volume_facts.h"

namespace ashlar::node_agent {

struct Attachment {
  std::string device;  // the kernel's node, without symbolic links; or the directory
  uint32_t major = 0;  // of the device, or of the filesystem that has the directory
  uint32_t minor = 0;
  uint64_t inode = 0;                   // of the directory; 0: it is a device
  std::shared_ptr<sys::UniqueFd> hold;  // while it lives the device stays; may be null

  // Whether the mount shows the device node, the filesystem on it, or the directory.
  bool ShownBy(const sys::MountEntry& mount) const;
  bool ShownBy(const sys::MountPoint& mount) const;
};

class Attachments {
 public:
  explicit Attachments(sys::LoopDevices& loops) : loops_(loops) {}

  // Attaches a volume that is attached nowhere: two devices over one image would corrupt it.
  absl::StatusOr<Attachment> Attach(const CallContext& context, const StoredVolume& stored);
  // NotFound: `device` is not, or no longer, of this volume.
  absl::StatusOr<Attachment> Inspect(const StoredVolume& stored, const std::string& device);
  // Among `loops`, a list of this moment. A volume that is no image is always attached.
  // NotFound: the volume's image or device is gone.
  absl::StatusOr<std::optional<Attachment>> Find(const StoredVolume& stored,
                                                 const std::vector<sys::LoopDevice>& loops);
  // Makes the device as large as the volume.
  absl::Status UpdateCapacity(const StoredVolume& stored, const std::string& device);
  // Detaches `device`, or every device of ours over the volume if it is empty. Gone is OK.
  // FailedPrecondition: in use, or a stranger has attached the image.
  absl::Status Detach(const StoredVolume& stored, const std::string& device);

  // A drive that is unplugged leaves mounts, and loop devices over files on it, that answer with
  // errors for ever, also when it is back.
  // Whether the mount is such a one, or of a device node that is no more.
  bool IsLeft(const sys::MountEntry& mount);
  // Whether `device` is such a loop device, or is not there.
  bool IsGone(const std::string& device);
  // Detaches `device` after its last user if it is such a loop device.
  absl::Status Abandon(const std::string& device);

 private:
  bool IsLost(const std::string& device);

  sys::LoopDevices& loops_;
};

}  // namespace ashlar::node_agent
