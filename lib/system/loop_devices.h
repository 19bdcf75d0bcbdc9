// LoopDevices: block devices over image files, with direct I/O: without it random reads lose most
// of their speed. What a loop device belongs to is known by the identity of its file, never by a
// path. Thread-safe. See loop(4) and include/uapi/linux/loop.h.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/base/call_context.h"
#include "lib/system/files.h"

namespace ashlar::sys {

struct LoopDevice {
  std::string path;   // /dev/loop3
  std::string label;  // who made it: what was given to Attach, at most 63 bytes
  FileIdentity backing;
  uint32_t major = 0;
  uint32_t minor = 0;
  bool direct_io = false;
  bool auto_clear = false;
};

// An attached device and a hold on it: while the hold lives, auto-clear does not detach it.
struct HeldLoopDevice {
  LoopDevice device;
  std::shared_ptr<UniqueFd> hold;
};

struct LoopOptions {
  std::string label;
  // Detach by itself when the last user (a mount, an open file) is gone.
  bool auto_clear = false;
  // Pass discards on, which gives bytes back to the pool that the volume was promised. Devices that
  // do not have numbers of their own, from 4096 on, and stay until RemoveSpareLoopDevices.
  bool discard = false;
};

class LoopDevices {
 public:
  virtual ~LoopDevices() = default;
  virtual absl::StatusOr<HeldLoopDevice> Attach(const CallContext& context, const std::string& file,
                                                const LoopOptions& options) = 0;
  // All attached devices of this machine.
  virtual absl::StatusOr<std::vector<LoopDevice>> List() = 0;
  // NotFound: that device is not attached.
  virtual absl::StatusOr<LoopDevice> Inspect(const std::string& device) = 0;
  // Makes the device as large as its file.
  virtual absl::Status UpdateCapacity(const std::string& device) = 0;
  // Detaches if the device still has this backing; otherwise nothing is done and the answer is OK.
  // Waits 2 s for those who have it open for a moment, such as udev. FailedPrecondition: in use for
  // longer; the kernel then detaches it after its last user.
  virtual absl::Status Detach(const std::string& device, const FileIdentity& backing) = 0;
  // Detaches whatever the device has, after its last user, for whom nobody waits: of a file whose
  // filesystem is gone nothing can be asked. Not attached is OK.
  virtual absl::Status Abandon(const std::string& device) = 0;
};

class KernelLoopDevices final : public LoopDevices {
 public:
  absl::StatusOr<HeldLoopDevice> Attach(const CallContext& context, const std::string& file,
                                        const LoopOptions& options) override;
  absl::StatusOr<std::vector<LoopDevice>> List() override;
  absl::StatusOr<LoopDevice> Inspect(const std::string& device) override;
  absl::Status UpdateCapacity(const std::string& device) override;
  absl::Status Detach(const std::string& device, const FileIdentity& backing) override;
  absl::Status Abandon(const std::string& device) override;
};

// Devices that were made for attachments without discards (see LoopOptions) and are attached no
// more: removes all but `keep`, whoever made them. Who attaches at the same time finds another.
void RemoveSpareLoopDevices(size_t keep);

// The device over the file, if there is one.
std::optional<LoopDevice> FindByBacking(const std::vector<LoopDevice>& devices,
                                        const FileIdentity& backing);

}  // namespace ashlar::sys
