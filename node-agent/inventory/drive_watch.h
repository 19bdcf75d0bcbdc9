// DriveWatch: hears of what may concern drives, from the kernel's uevents and from its tables of
// mounts and swap, in a thread of its own. Not heard of are an exclusive claim, a mount in another
// mount namespace, and a loop device over a drive. Thread-safe.
#pragma once

#include <functional>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "lib/base/clock.h"
#include "lib/system/device_events.h"
#include "lib/system/mount_table.h"

namespace ashlar::node_agent {

class DriveWatch {
 public:
  // Called in the watch's thread. `health`: a controller announced that its health changed.
  using Tell = std::function<void(bool health)>;
  // Shell patterns of the loop devices that count as drives.
  using NamedPaths = std::function<std::vector<std::string>()>;

  DriveWatch(sys::MountTable& mounts, Clock& clock, NamedPaths named_paths, Tell tell)
      : mounts_(mounts),
        clock_(clock),
        named_paths_(std::move(named_paths)),
        tell_(std::move(tell)) {}
  ~DriveWatch() { Stop(); }

  // What happens from its return on is told, soon after. An error: this process may not listen.
  // Who shares the machine's devices but not its network namespace's owner may hear nothing:
  // whoever watches looks by himself, too, if rarely.
  absl::Status Start();
  void Stop();

 private:
  using Devices = std::set<std::pair<uint32_t, uint32_t>>;
  void Run(const std::stop_token& stop);
  void Judge(const sys::DeviceNews& news);
  // Block devices that carry a mounted filesystem. Loop devices, which come and go with volumes,
  // count where they are named.
  Devices Mounted(const std::vector<std::string>& named_paths);

  sys::MountTable& mounts_;
  Clock& clock_;
  const NamedPaths named_paths_;
  const Tell tell_;
  std::optional<sys::DeviceEvents> events_;
  Devices mounted_;  // of the thread, after Start
  std::jthread thread_;
};

// Whether the event may mean another answer of DriveScanner. Devices that are built on drives
// count: they make them drives in use. Loop devices count if a pattern of `named_paths` names them.
bool ConcernsDrives(const sys::Uevent& event, const std::vector<std::string>& named_paths);

}  // namespace ashlar::node_agent
