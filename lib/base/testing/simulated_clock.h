// SimulatedClock: time that stands still until a test advances it. Thread-safe.
#pragma once

#include <vector>

#include "lib/base/clock.h"

namespace ashlar {

class SimulatedClock final : public Clock {
 public:
  explicit SimulatedClock(absl::Time start = absl::FromUnixSeconds(1700000000)) : now_(start) {}

  absl::Time Now() const override;
  void WaitUntil(CondVar& cv, Mutex& mu,
                 absl::Time deadline) ABSL_NO_THREAD_SAFETY_ANALYSIS override;

  // Moves time on and wakes every waiter, so that each looks at the time again.
  void Advance(absl::Duration by);

  // Blocks until at least `count` threads wait on this clock: how a test knows that a worker has
  // gone to sleep.
  void AwaitWaiters(int count);

 private:
  struct Waiter {
    CondVar* cv;
    Mutex* mu;
  };
  mutable Mutex mu_;
  CondVar changed_;
  absl::Time now_ ABSL_GUARDED_BY(mu_);
  std::vector<Waiter> waiters_ ABSL_GUARDED_BY(mu_);
  int advancing_ ABSL_GUARDED_BY(mu_) = 0;  // calls of Advance that are waking waiters
};

}  // namespace ashlar
