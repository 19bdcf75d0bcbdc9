#include "lib/base/clock.h"

#include <thread>

#include "gtest/gtest.h"
#include "lib/base/testing/simulated_clock.h"

namespace ashlar {
namespace {

TEST(Clock, SleepEndsWhenTimeHasAdvanced) {
  SimulatedClock clock;
  absl::Status result = absl::UnknownError("not run");
  std::jthread sleeper([&] { result = SleepFor(clock, CallContext{}, absl::Minutes(5)); });
  clock.AwaitWaiters(1);
  clock.Advance(absl::Minutes(5));
  sleeper.join();
  EXPECT_TRUE(result.ok()) << result;
}

TEST(Clock, SleepIsCancelledByTheStopToken) {
  SimulatedClock clock;
  std::stop_source stop;
  absl::Status result;
  std::jthread sleeper(
      [&] { result = SleepFor(clock, CallContext{.stop = stop.get_token()}, absl::Minutes(5)); });
  clock.AwaitWaiters(1);
  stop.request_stop();
  sleeper.join();
  EXPECT_EQ(result.code(), absl::StatusCode::kCancelled);
}

TEST(Clock, SleepEndsAtTheDeadlineOfTheContext) {
  SimulatedClock clock;
  absl::Status result;
  std::jthread sleeper([&] {
    result =
        SleepFor(clock, CallContext{.deadline = clock.Now() + absl::Seconds(1)}, absl::Minutes(5));
  });
  clock.AwaitWaiters(1);
  clock.Advance(absl::Seconds(1));
  sleeper.join();
  EXPECT_EQ(result.code(), absl::StatusCode::kDeadlineExceeded);
}

TEST(Clock, UntilOnlyNarrows) {
  const CallContext context{.deadline = absl::FromUnixSeconds(10)};
  EXPECT_EQ(context.Until(absl::FromUnixSeconds(20)).deadline, absl::FromUnixSeconds(10));
  EXPECT_EQ(context.Until(absl::FromUnixSeconds(5)).deadline, absl::FromUnixSeconds(5));
}

}  // namespace
}  // namespace ashlar
