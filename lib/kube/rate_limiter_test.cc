#include "lib/kube/rate_limiter.h"

#include <thread>

#include "gtest/gtest.h"
#include "lib/base/testing/simulated_clock.h"

namespace ashlar::kube {
namespace {

TEST(RateLimiter, LetsABurstGoThenOneAtATime) {
  SimulatedClock clock;
  RateLimiter limiter(10, 3, clock);
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(limiter.Wait({.deadline = clock.Now()}).ok()) << i;
  EXPECT_EQ(limiter.Wait({.deadline = clock.Now()}).code(), absl::StatusCode::kDeadlineExceeded);
  clock.Advance(absl::Milliseconds(100));
  EXPECT_TRUE(limiter.Wait({.deadline = clock.Now()}).ok()) << "a refused call used up no turn";
  EXPECT_FALSE(limiter.Wait({.deadline = clock.Now()}).ok());
}

TEST(RateLimiter, WaitsForItsTurn) {
  SimulatedClock clock;
  RateLimiter limiter(1, 1, clock);
  ASSERT_TRUE(limiter.Wait({}).ok());
  absl::Status result = absl::UnknownError("waits");
  std::jthread caller([&] { result = limiter.Wait({}); });
  clock.AwaitWaiters(1);
  clock.Advance(absl::Seconds(1));
  caller.join();
  EXPECT_TRUE(result.ok());
}

TEST(RateLimiter, RestFillsTheBucketAgainButNotBeyondItsSize) {
  SimulatedClock clock;
  RateLimiter limiter(1, 2, clock);
  clock.Advance(absl::Hours(1));
  EXPECT_TRUE(limiter.Wait({.deadline = clock.Now()}).ok());
  EXPECT_TRUE(limiter.Wait({.deadline = clock.Now()}).ok());
  EXPECT_FALSE(limiter.Wait({.deadline = clock.Now()}).ok());
}

TEST(RateLimiter, WithoutRateThereIsNoLimit) {
  SimulatedClock clock;
  RateLimiter limiter(0, 0, clock);
  for (int i = 0; i < 1000; ++i) ASSERT_TRUE(limiter.Wait({.deadline = clock.Now()}).ok());
}

}  // namespace
}  // namespace ashlar::kube
