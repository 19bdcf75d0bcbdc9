// Clock: the only source of time, so that tests decide what time it is (testing/simulated_clock.h).
// Thread-safe.
#pragma once

#include "absl/status/status.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "lib/base/call_context.h"
#include "lib/base/mutex.h"

namespace ashlar {

class Clock {
 public:
  virtual ~Clock() = default;
  virtual absl::Time Now() const = 0;
  // Blocks until `deadline`, until `cv` is notified, or without cause. `mu` is held before and
  // after.
  virtual void WaitUntil(CondVar& cv, Mutex& mu, absl::Time deadline)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu) = 0;
};

class RealClock final : public Clock {
 public:
  absl::Time Now() const override { return absl::Now(); }
  void WaitUntil(CondVar& cv, Mutex& mu,
                 absl::Time deadline) ABSL_NO_THREAD_SAFETY_ANALYSIS override;
};

// Sleeps for `duration`. Cancelled if the context is stopped and DeadlineExceeded if its deadline
// comes first, both without waiting longer.
absl::Status SleepFor(Clock& clock, const CallContext& context, absl::Duration duration);

// OK, Cancelled if the context is stopped, DeadlineExceeded if its deadline has passed.
absl::Status CheckContext(const Clock& clock, const CallContext& context);

}  // namespace ashlar
