#include "lib/kube/rate_limiter.h"

#include <algorithm>

namespace ashlar::kube {

absl::Status RateLimiter::Wait(const CallContext& context) {
  if (per_second_ <= 0) return absl::OkStatus();
  const absl::Duration one = absl::Seconds(1.0 / per_second_);
  absl::Duration wait;
  {
    MutexLock lock(mu_);
    const absl::Time now = clock_.Now();
    const absl::Time full_at = std::max(full_at_, now) + one;
    wait = full_at - now - one * burst_;
    if (now + wait > context.deadline)
      return absl::DeadlineExceededError(
          "the call's deadline passes before the client-side rate limit lets it go");
    full_at_ = full_at;
  }
  return wait <= absl::ZeroDuration() ? absl::OkStatus() : SleepFor(clock_, context, wait);
}

}  // namespace ashlar::kube
