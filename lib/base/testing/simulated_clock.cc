#include "lib/base/testing/simulated_clock.h"

#include <algorithm>

namespace ashlar {

absl::Time SimulatedClock::Now() const {
  MutexLock lock(mu_);
  return now_;
}

void SimulatedClock::WaitUntil(CondVar& cv, Mutex& mu, absl::Time deadline) {
  {
    MutexLock lock(mu_);
    if (now_ >= deadline) return;
    waiters_.push_back({&cv, &mu});
    changed_.NotifyAll();
  }
  // Advance() locks `mu` before it notifies, so no wake-up is lost between the check above and this
  // wait.
  cv.Wait(mu);
  MutexLock lock(mu_);
  auto it = std::find_if(waiters_.begin(), waiters_.end(),
                         [&](const Waiter& w) { return w.cv == &cv && w.mu == &mu; });
  if (it != waiters_.end()) waiters_.erase(it);
}

void SimulatedClock::Advance(absl::Duration by) {
  std::vector<Waiter> waiters;
  {
    MutexLock lock(mu_);
    now_ += by;
    waiters = waiters_;
  }
  for (const Waiter& waiter : waiters) {
    // A waiter may have left meanwhile; a waiter that a test destroys must be joined before it
    // advances the clock.
    waiter.mu->Lock();
    waiter.cv->NotifyAll();
    waiter.mu->Unlock();
  }
}

void SimulatedClock::AwaitWaiters(int count) {
  MutexLock lock(mu_);
  while (static_cast<int>(waiters_.size()) < count) changed_.Wait(mu_);
}

}  // namespace ashlar
