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
  {
    MutexLock lock(mu_);
    auto it = std::find_if(waiters_.begin(), waiters_.end(),
                           [&](const Waiter& w) { return w.cv == &cv && w.mu == &mu; });
    if (it != waiters_.end()) waiters_.erase(it);
    if (advancing_ == 0) return;
    // Advance() may be about to use `mu` and `cv`, which the caller may destroy when this returns.
    mu.Unlock();
    while (advancing_ > 0) changed_.Wait(mu_);
  }
  mu.Lock();
}

void SimulatedClock::Advance(absl::Duration by) {
  std::vector<Waiter> waiters;
  {
    MutexLock lock(mu_);
    now_ += by;
    ++advancing_;
    waiters.swap(waiters_);  // who still has to wait comes back
  }
  for (const Waiter& waiter : waiters) {
    waiter.mu->Lock();
    waiter.cv->NotifyAll();
    waiter.mu->Unlock();
  }
  MutexLock lock(mu_);
  --advancing_;
  changed_.NotifyAll();
}

void SimulatedClock::AwaitWaiters(int count) {
  MutexLock lock(mu_);
  while (static_cast<int>(waiters_.size()) < count) changed_.Wait(mu_);
}

}  // namespace ashlar
