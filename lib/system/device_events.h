// DeviceEvents: what the kernel tells of devices (kobject uevents over netlink, see
// Documentation/core-api/kobject.rst and udev(7)) and of mounts and swap (poll(2) of
// /proc/self/mountinfo, see proc(5), and of /proc/swaps). Used by one thread; ParseUevent is pure.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "lib/base/call_context.h"
#include "lib/system/unique_fd.h"

namespace ashlar::sys {

struct Uevent {
  std::string action;     // add, remove, change, bind, ...
  std::string subsystem;  // block, nvme, pci, ...
  std::string path;       // below /sys
  std::string device;     // below /dev; empty if the device has no node
  bool operator==(const Uevent&) const = default;
};

// Nothing if it is no message of the kernel, such as one of udev.
std::optional<Uevent> ParseUevent(absl::string_view message);

struct DeviceNews {
  std::vector<Uevent> uevents;
  bool uevents_lost = false;  // more came than could be read: anything may have changed
  bool mounts_changed = false;
  bool swaps_changed = false;
};

class DeviceEvents {
 public:
  // What comes from now on is heard. An error: this process may not listen.
  static absl::StatusOr<DeviceEvents> Open();

  // Waits for news and returns all that there is. Cancelled if the context is stopped.
  absl::StatusOr<DeviceNews> Await(const CallContext& context);

 private:
  DeviceEvents(UniqueFd uevents, UniqueFd mounts, UniqueFd swaps, UniqueFd wake)
      : uevents_(std::move(uevents)),
        mounts_(std::move(mounts)),
        swaps_(std::move(swaps)),
        wake_(std::move(wake)) {}
  void ReadUevents(DeviceNews& news) const;

  UniqueFd uevents_;
  UniqueFd mounts_;
  UniqueFd swaps_;  // not open where the kernel has no swap
  UniqueFd wake_;
};

}  // namespace ashlar::sys
