#include "lib/runtime/work_queue.h"

#include <atomic>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "lib/base/testing/simulated_clock.h"

namespace ashlar::runtime {
namespace {

const api::ObjectKey kA{"", "a"};
const api::ObjectKey kB{"", "b"};

class WorkQueueTest : public ::testing::Test {
 protected:
  SimulatedClock clock_;
  WorkQueue queue_{clock_, Backoff{.initial = absl::Seconds(1), .max = absl::Seconds(8)}};
};

TEST_F(WorkQueueTest, KeyAddedTwiceRunsOnce) {
  queue_.Add(kA);
  queue_.Add(kA);
  EXPECT_EQ(queue_.depth(), 1);
  EXPECT_EQ(queue_.Get(), kA);
  queue_.Done(kA);
  EXPECT_EQ(queue_.depth(), 0);
}

TEST_F(WorkQueueTest, KeysRunInTheOrderInWhichTheyWereAdded) {
  queue_.Add(kB);
  queue_.Add(kA);
  EXPECT_EQ(queue_.Get(), kB);
  EXPECT_EQ(queue_.Get(), kA);
}

TEST_F(WorkQueueTest, ReAddedWhileRunningRunsAgainAfterDone) {
  queue_.Add(kA);
  ASSERT_EQ(queue_.Get(), kA);
  queue_.Add(kA);
  EXPECT_EQ(queue_.depth(), 0) << "a running key must not be handed out a second time";
  queue_.Done(kA);
  EXPECT_EQ(queue_.Get(), kA);
}

TEST_F(WorkQueueTest, DelayedKeyRunsWhenItsTimeHasCome) {
  queue_.AddAfter(kA, absl::Seconds(10));
  std::optional<api::ObjectKey> got;
  std::jthread worker([&] { got = queue_.Get(); });
  clock_.AwaitWaiters(1);
  clock_.Advance(absl::Seconds(10));
  worker.join();
  EXPECT_EQ(got, kA);
}

TEST_F(WorkQueueTest, EarlierOfTwoDueTimesWins) {
  queue_.AddAfter(kA, absl::Seconds(10));
  queue_.AddAfter(kA, absl::Seconds(5));
  queue_.AddAfter(kA, absl::Seconds(20));
  clock_.Advance(absl::Seconds(5));
  EXPECT_EQ(queue_.Get(), kA);
  queue_.Done(kA);
  clock_.Advance(absl::Seconds(60));
  queue_.Add(kB);
  EXPECT_EQ(queue_.Get(), kB) << "the later due times are dropped";
  EXPECT_EQ(queue_.depth(), 0);
}

TEST_F(WorkQueueTest, AddedNowDropsTheDueTime) {
  queue_.AddAfter(kA, absl::Seconds(10));
  queue_.Add(kA);
  EXPECT_EQ(queue_.Get(), kA);
  queue_.Done(kA);
  clock_.Advance(absl::Seconds(20));
  queue_.Add(kB);
  EXPECT_EQ(queue_.Get(), kB);
}

TEST_F(WorkQueueTest, KeyDueWhileItRunsRunsAgainAfterDone) {
  queue_.Add(kA);
  ASSERT_EQ(queue_.Get(), kA);
  queue_.AddAfter(kA, absl::Seconds(1));
  clock_.Advance(absl::Seconds(1));
  queue_.Add(kB);
  EXPECT_EQ(queue_.Get(), kB) << "a still runs";
  queue_.Done(kA);
  EXPECT_EQ(queue_.Get(), kA);
}

TEST_F(WorkQueueTest, NewEarliestDueTimeWakesEveryWaiter) {
  queue_.AddAfter(kB, absl::Hours(1));
  std::optional<api::ObjectKey> got[2];
  std::jthread first([&] { got[0] = queue_.Get(); });
  std::jthread second([&] { got[1] = queue_.Get(); });
  clock_.AwaitWaiters(2);
  queue_.AddAfter(kA, absl::Seconds(1));
  clock_.Advance(absl::Seconds(1));
  clock_.Advance(absl::Hours(1));
  first.join();
  second.join();
  EXPECT_TRUE((got[0] == kA && got[1] == kB) || (got[0] == kB && got[1] == kA));
}

TEST_F(WorkQueueTest, BackoffDoublesPerKeyUntilItsMaximumAndForgetResetsIt) {
  for (int seconds : {1, 2, 4, 8, 8}) {
    queue_.AddRateLimited(kA);
    clock_.Advance(absl::Seconds(seconds) - absl::Milliseconds(1));
    queue_.Add(kB);
    ASSERT_EQ(queue_.Get(), kB) << "not due before " << seconds << " s";
    queue_.Done(kB);
    clock_.Advance(absl::Milliseconds(1));
    ASSERT_EQ(queue_.Get(), kA);
    queue_.Done(kA);
  }
  EXPECT_EQ(queue_.Failures(kA), 5);
  EXPECT_EQ(queue_.Failures(kB), 0);
  queue_.Forget(kA);
  queue_.AddRateLimited(kA);
  clock_.Advance(absl::Seconds(1));
  EXPECT_EQ(queue_.Get(), kA);
}

TEST_F(WorkQueueTest, ShutDownHandsOutWhatIsReadyThenEnds) {
  queue_.Add(kA);
  queue_.AddAfter(kB, absl::Seconds(1));
  queue_.ShutDown();
  queue_.Add(kB);
  clock_.Advance(absl::Seconds(1));
  EXPECT_EQ(queue_.Get(), kA);
  EXPECT_EQ(queue_.Get(), std::nullopt);
}

TEST_F(WorkQueueTest, ShutDownWakesBlockedWorkers) {
  std::optional<api::ObjectKey> got = kA;
  std::jthread worker([&] { got = queue_.Get(); });
  clock_.AwaitWaiters(1);
  queue_.ShutDown();
  worker.join();
  EXPECT_EQ(got, std::nullopt);
}

TEST_F(WorkQueueTest, DrainWaitsForKeysThatRun) {
  queue_.Add(kA);
  ASSERT_EQ(queue_.Get(), kA);
  std::atomic<bool> drained = false;
  std::jthread drainer([&] {
    queue_.ShutDownAndDrain();
    drained = true;
  });
  clock_.AwaitWaiters(1);
  EXPECT_FALSE(drained);
  queue_.Done(kA);
  drainer.join();
  EXPECT_TRUE(drained);
}

TEST_F(WorkQueueTest, KeyNeverRunsOnTwoWorkersAtOnce) {
  constexpr int kKeys = 4;
  std::atomic<int> running[kKeys] = {};
  std::atomic<bool> overlap = false;
  std::atomic<int> runs = 0;
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&] {
        while (auto key = queue_.Get()) {
          const int i = key->name[0] - '0';
          if (running[i].fetch_add(1) != 0) overlap = true;
          std::this_thread::yield();
          running[i].fetch_sub(1);
          ++runs;
          queue_.Done(*key);
        }
      });
    }
    for (int n = 0; n < 2000; ++n) queue_.Add({"", std::string(1, static_cast<char>('0' + n % 4))});
    queue_.ShutDownAndDrain();
  }
  EXPECT_FALSE(overlap);
  EXPECT_GE(runs, kKeys);
}

}  // namespace
}  // namespace ashlar::runtime
