#include "node-agent/volume/freeze_window.h"

#include "absl/strings/str_cat.h"
#include "lib/base/log.h"
#include "lib/base/status_macros.h"

namespace ashlar::node_agent {

absl::Status FreezeWindow::Freeze(const std::string& mount_point) {
  if (!watchdog_.joinable())
    watchdog_ = std::jthread(
        [this, at = clock_.Now() + limit_](const std::stop_token& stop) { ThawAtLimit(stop, at); });
  // Freezing writes out what is dirty, so it happens outside the lock: the watchdog must be able to
  // thaw the others meanwhile.
  ASHLAR_RETURN_IF_ERROR(mounts_.Freeze(mount_point));
  MutexLock lock(mu_);
  frozen_.push_back(mount_point);
  if (!expired_) return absl::OkStatus();
  ASHLAR_RETURN_IF_ERROR(ThawAll());
  return absl::DeadlineExceededError(absl::StrCat(mount_point, " took too long to freeze"));
}

absl::Status FreezeWindow::ThawAll() {
  absl::Status result;
  std::vector<std::string> left;
  for (const std::string& mount_point : frozen_) {
    const absl::Status thawed = mounts_.Thaw(mount_point);
    if (thawed.ok()) continue;
    left.push_back(mount_point);
    result = thawed;
    LogError("a filesystem could not be thawed",
             {{"path", mount_point}, {"error", thawed.ToString()}});
  }
  frozen_ = std::move(left);
  return result;
}

void FreezeWindow::ThawAtLimit(const std::stop_token& stop, absl::Time at) {
  const std::stop_callback wake(stop, [this] {
    MutexLock lock(mu_);
    changed_.NotifyAll();
  });
  MutexLock lock(mu_);
  while (!stop.stop_requested() && clock_.Now() < at) clock_.WaitUntil(changed_, mu_, at);
  if (stop.stop_requested()) return;
  expired_ = true;
  LogWarning("thawed after the time limit", {{"filesystems", frozen_.size()}});
  (void)ThawAll();
}

absl::Status FreezeWindow::Thaw() {
  absl::Status thawed;
  bool expired;
  {
    MutexLock lock(mu_);
    thawed = ThawAll();
    expired = expired_;
  }
  if (watchdog_.joinable()) {
    watchdog_.request_stop();
    watchdog_.join();
    watchdog_ = {};
  }
  ASHLAR_RETURN_IF_ERROR(thawed);
  if (!expired) return absl::OkStatus();
  return absl::DeadlineExceededError(
      absl::StrCat("filesystems were frozen for longer than ", absl::FormatDuration(limit_),
                   " and were thawed: what was copied is of no single moment"));
}

}  // namespace ashlar::node_agent
