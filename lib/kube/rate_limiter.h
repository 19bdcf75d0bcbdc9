// RateLimiter: a token bucket. Callers are served in the order in which they came. Thread-safe.
#pragma once

#include "absl/status/status.h"
#include "lib/base/clock.h"
#include "lib/base/mutex.h"

namespace ashlar::kube {

class RateLimiter {
 public:
  // `per_second` calls on average, `burst` at once after a rest. per_second <= 0: no limit.
  RateLimiter(double per_second, int burst, Clock& clock)
      : per_second_(per_second), burst_(burst), clock_(clock), full_at_(absl::InfinitePast()) {}

  // Blocks until a call may be made. Cancelled or DeadlineExceeded as the context says; if the turn
  // would come after the deadline, at once, and the turn is not used up.
  absl::Status Wait(const CallContext& context);

 private:
  const double per_second_;
  const int burst_;
  Clock& clock_;
  Mutex mu_;
  // When the bucket would be full again if nobody called.
  absl::Time full_at_ ABSL_GUARDED_BY(mu_);
};

}  // namespace ashlar::kube
