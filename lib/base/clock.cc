#include "lib/base/clock.h"

#include "absl/status/status.h"

namespace ashlar {

void RealClock::WaitUntil(CondVar& cv, Mutex& mu, absl::Time deadline) {
  // A waiter without deadline still wakes once an hour: a time near the end of the range overflows
  // in wait_until.
  cv.WaitUntil(mu, absl::ToChronoTime(std::min(deadline, Now() + absl::Hours(1))));
}

absl::Status CheckContext(const Clock& clock, const CallContext& context) {
  if (context.stop.stop_requested()) return absl::CancelledError("the call was called off");
  if (clock.Now() >= context.deadline)
    return absl::DeadlineExceededError("the call's deadline has passed");
  return absl::OkStatus();
}

absl::Status SleepFor(Clock& clock, const CallContext& context, absl::Duration duration) {
  Mutex mu;
  CondVar cv;
  const absl::Time end = clock.Now() + duration;
  std::stop_callback wake(context.stop, [&] {
    MutexLock lock(mu);
    cv.NotifyAll();
  });
  MutexLock lock(mu);
  for (;;) {
    if (context.stop.stop_requested()) return absl::CancelledError("the call was called off");
    const absl::Time now = clock.Now();
    if (now >= end) return absl::OkStatus();
    if (now >= context.deadline)
      return absl::DeadlineExceededError("the call's deadline has passed");
    clock.WaitUntil(cv, mu, std::min(end, context.deadline));
  }
}

}  // namespace ashlar
