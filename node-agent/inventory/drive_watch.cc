#include "node-agent/inventory/drive_watch.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "lib/base/log.h"
#include "lib/base/status_macros.h"
#include "node-agent/inventory/drive_scanner.h"

namespace ashlar::node_agent {
namespace {

constexpr uint32_t kLoopMajor = 7;
// Events and mounts come in crowds: what comes while it rests is one piece of news.
constexpr absl::Duration kRest = absl::Milliseconds(200);

}  // namespace

bool ConcernsDrives(const sys::Uevent& event, const std::vector<std::string>& named_paths) {
  if (event.subsystem == "nvme" || event.subsystem == "nvme-subsystem") return true;
  if (event.subsystem != "block") return false;
  const std::string name = event.path.substr(event.path.rfind('/') + 1);
  for (const absl::string_view other : {"ram", "zram", "sr", "fd"})
    if (absl::StartsWith(name, other)) return false;
  if (!absl::StartsWith(name, "loop")) return true;
  return std::any_of(named_paths.begin(), named_paths.end(), [&](const std::string& p) {
    return PatternNames(p, absl::StrCat("/dev/", name));
  });
}

DriveWatch::Devices DriveWatch::Mounted(const std::vector<std::string>& named_paths) {
  Devices devices;
  const absl::StatusOr<std::vector<sys::MountEntry>> mounts = mounts_.List();
  if (!mounts.ok()) return devices;
  for (const sys::MountEntry& mount : *mounts)
    if (mount.major != 0 && (mount.major != kLoopMajor || !named_paths.empty()))
      devices.insert({mount.major, mount.minor});
  return devices;
}

absl::Status DriveWatch::Start() {
  ASHLAR_ASSIGN_OR_RETURN(events_, sys::DeviceEvents::Open());
  mounted_ = Mounted(named_paths_());
  thread_ = std::jthread([this](const std::stop_token& stop) { Run(stop); });
  return absl::OkStatus();
}

void DriveWatch::Stop() {
  if (!thread_.joinable()) return;
  thread_.request_stop();
  thread_.join();
}

void DriveWatch::Run(const std::stop_token& stop) {
  CallContext context;
  context.stop = stop;
  for (;;) {
    const absl::StatusOr<sys::DeviceNews> news = events_->Await(context);
    if (absl::IsCancelled(news.status())) return;
    if (news.ok()) {
      Judge(*news);
    } else {
      LogError("cannot hear of devices", {{"error", news.status().ToString()}});
      tell_(true);
    }
    if (!SleepFor(clock_, context, kRest).ok()) return;
  }
}

void DriveWatch::Judge(const sys::DeviceNews& news) {
  const std::vector<std::string> named_paths = named_paths_();
  bool concerns = news.uevents_lost || news.swaps_changed, health = news.uevents_lost;
  for (const sys::Uevent& event : news.uevents) {
    concerns = concerns || ConcernsDrives(event, named_paths);
    // NVME_AEN: an asynchronous event of the controller, such as a critical warning.
    health = health || (event.subsystem == "nvme" && event.action == "change");
  }
  if (news.mounts_changed) {
    Devices mounted = Mounted(named_paths);
    concerns = concerns || mounted != mounted_;
    mounted_ = std::move(mounted);
  }
  if (concerns) tell_(health);
}

}  // namespace ashlar::node_agent
