#include "lib/rpc/worker_pool.h"

#include <atomic>
#include <latch>

#include "gtest/gtest.h"

namespace ashlar {
namespace {

TEST(WorkerPool, RunsTasksSideBySideUpToItsLimitAndRefusesMore) {
  std::latch both(2);
  std::latch release(1);
  WorkerPool pool(2);
  for (int i = 0; i < 2; ++i) {
    ASSERT_TRUE(pool.TryRun([&] {
      both.count_down();
      release.wait();
    }));
  }
  both.wait();
  EXPECT_FALSE(pool.TryRun([] {}));
  release.count_down();
}

TEST(WorkerPool, EveryAcceptedTaskRunsBeforeTheDestructorReturns) {
  std::atomic<int> ran = 0;
  int accepted = 0;
  {
    WorkerPool pool(4);
    for (int i = 0; i < 10'000; ++i) {
      if (pool.TryRun([&] { ++ran; })) ++accepted;
    }
  }
  EXPECT_EQ(ran, accepted);
  EXPECT_GE(accepted, 4);
}

TEST(WorkerPool, AThreadThatIsDoneTakesTheNextTask) {
  WorkerPool pool(1);
  for (int i = 0; i < 100; ++i) {
    std::latch done(1);
    while (!pool.TryRun([&] { done.count_down(); })) std::this_thread::yield();
    done.wait();
  }
}

}  // namespace
}  // namespace ashlar
