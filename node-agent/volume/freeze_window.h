// FreezeWindow: filesystems that nobody writes to for a moment. They are always thawed: by Thaw, by
// the end of the window's life, when the time limit has passed, and after a crash by whoever reads
// in the journal that they were frozen. Not thread-safe.
#pragma once

#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "lib/base/clock.h"
#include "lib/system/mount_table.h"

namespace ashlar::node_agent {

class FreezeWindow {
 public:
  // Pods that write to a frozen filesystem hang; this is how long they may.
  static constexpr absl::Duration kLimit = absl::Seconds(10);

  FreezeWindow(sys::MountTable& mounts, Clock& clock, absl::Duration limit = kLimit)
      : mounts_(mounts), clock_(clock), limit_(limit) {}
  ~FreezeWindow() { (void)Thaw(); }
  FreezeWindow(const FreezeWindow&) = delete;

  // The time limit runs from the first call on. FailedPrecondition: somebody else froze it.
  absl::Status Freeze(const std::string& mount_point);
  // Thaws all. DeadlineExceeded: they were thawed before, since the time had run out: what was done
  // meanwhile was done while others may have written. Another error: one may still be frozen.
  absl::Status Thaw();

 private:
  void ThawAtLimit(const std::stop_token& stop, absl::Time at);
  absl::Status ThawAll() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  sys::MountTable& mounts_;
  Clock& clock_;
  const absl::Duration limit_;
  Mutex mu_;
  CondVar changed_;
  std::vector<std::string> frozen_ ABSL_GUARDED_BY(mu_);
  bool expired_ ABSL_GUARDED_BY(mu_) = false;
  std::jthread watchdog_;
};

}  // namespace ashlar::node_agent
