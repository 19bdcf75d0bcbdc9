#include "lib/runtime/object_waiter.h"

#include <latch>
#include <thread>

#include "gtest/gtest.h"
#include "lib/base/testing/simulated_clock.h"

namespace ashlar::runtime {
namespace {

// A cache of which the test is the informer.
class TestCache final : public Cache {
 public:
  ObjectPtr Get(const api::ObjectKey& key) const override {
    MutexLock lock(mu_);
    const auto found = objects_.find(key);
    return found == objects_.end() ? nullptr : found->second;
  }
  std::vector<ObjectPtr> List() const override { return {}; }
  bool Synced() const override { return true; }
  void AddHandler(std::function<void(const api::ObjectKey&)> changed) override {
    handler_ = std::move(changed);
  }
  void Set(const api::ObjectKey& key, const Json& object) {
    {
      MutexLock lock(mu_);
      objects_[key] = std::make_shared<const Json>(object);
    }
    handler_(key);
  }

 private:
  mutable Mutex mu_;
  std::map<api::ObjectKey, ObjectPtr> objects_ ABSL_GUARDED_BY(mu_);
  std::function<void(const api::ObjectKey&)> handler_;
};

const api::ObjectKey kKey{"", "v1"};

TEST(ObjectWaiter, ReturnsAtOnceIfTheObjectIsAsWanted) {
  SimulatedClock clock;
  TestCache cache;
  ObjectWaiter waiter(cache, clock);
  EXPECT_TRUE(waiter.Await({}, kKey, [](const ObjectPtr& o) { return o == nullptr; }).ok());
}

TEST(ObjectWaiter, ManyWaitersEachSeeTheChangeOfTheirOwnObject) {
  SimulatedClock clock;
  TestCache cache;
  ObjectWaiter waiter(cache, clock);
  std::vector<std::jthread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&, i] {
      const absl::Status status = waiter.Await({}, {"", std::to_string(i)}, [](const ObjectPtr& o) {
        return o != nullptr && *o == Json(3);
      });
      EXPECT_TRUE(status.ok()) << status;
    });
  }
  for (int value = 1; value <= 3; ++value) {
    for (int i = 0; i < 8; ++i) cache.Set({"", std::to_string(i)}, Json(value));
  }
}

TEST(ObjectWaiter, AChangeBetweenLookAndWaitIsNotLost) {
  SimulatedClock clock;
  TestCache cache;
  ObjectWaiter waiter(cache, clock);
  bool first = true;
  const absl::Status status = waiter.Await({}, kKey, [&](const ObjectPtr& object) {
    if (first) cache.Set(kKey, Json(1));
    first = false;
    return object != nullptr;
  });
  EXPECT_TRUE(status.ok()) << status;
}

TEST(ObjectWaiter, EndsWithTheContext) {
  SimulatedClock clock;
  TestCache cache;
  ObjectWaiter waiter(cache, clock);
  const auto never = [](const ObjectPtr&) { return false; };

  std::stop_source stop;
  absl::Status status;
  std::jthread stopped([&] { status = waiter.Await({.stop = stop.get_token()}, kKey, never); });
  clock.AwaitWaiters(1);
  stop.request_stop();
  stopped.join();
  EXPECT_EQ(status.code(), absl::StatusCode::kCancelled);

  std::jthread late(
      [&] { status = waiter.Await({.deadline = clock.Now() + absl::Seconds(1)}, kKey, never); });
  clock.AwaitWaiters(1);
  clock.Advance(absl::Seconds(1));
  late.join();
  EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded);
}

}  // namespace
}  // namespace ashlar::runtime
