#include "lib/runtime/controller.h"

#include <functional>
#include <thread>

#include "gtest/gtest.h"
#include "lib/base/testing/simulated_clock.h"
#include "lib/kube/testing/fake_client.h"
#include "lib/runtime/informer.h"
#include "lib/runtime/runner.h"

namespace ashlar::runtime {
namespace {

const api::KindInfo kWidget{"example.dev", "v1", "Widget", "widgets", false};

// Answers what the test wants and counts the reconciles.
class ScriptedReconciler final : public Reconciler {
 public:
  absl::StatusOr<Action> Reconcile(const CallContext& context, const api::ObjectKey& key) override {
    std::function<absl::StatusOr<Action>(const CallContext&)> script;
    {
      MutexLock lock(mu_);
      script = script_;
    }
    absl::StatusOr<Action> action = script ? script(context) : Action::AwaitChange();
    MutexLock lock(mu_);
    keys_.push_back(key.name);
    changed_.NotifyAll();
    return action;
  }
  void Script(std::function<absl::StatusOr<Action>(const CallContext&)> script) {
    MutexLock lock(mu_);
    script_ = std::move(script);
  }
  void Await(size_t count) {
    MutexLock lock(mu_);
    while (keys_.size() < count) changed_.Wait(mu_);
  }
  size_t count() {
    MutexLock lock(mu_);
    return keys_.size();
  }

 private:
  Mutex mu_;
  CondVar changed_;
  std::function<absl::StatusOr<Action>(const CallContext&)> script_ ABSL_GUARDED_BY(mu_);
  std::vector<std::string> keys_ ABSL_GUARDED_BY(mu_);
};

class ControllerTest : public ::testing::Test {
 protected:
  void Start() {
    thread_ = std::jthread([this](std::stop_token stop) { controller_.Run(stop); });
  }
  // The worker finds the key at once: the first that waits on the clock is the reconciler, not a
  // worker that was told of the key and has not woken yet.
  void StartWith(const api::ObjectKey& key) {
    controller_.queue().Add(key);
    Start();
  }
  bool Shows(const std::string& line) { return registry_.Text().find(line) != std::string::npos; }

  SimulatedClock clock_;
  metrics::Registry registry_;
  ScriptedReconciler reconciler_;
  Controller controller_{
      {.name = "widget", .backoff = {.initial = absl::Seconds(1)}}, reconciler_, clock_, registry_};
  std::jthread thread_;
};

TEST_F(ControllerTest, MetricsExistAtZeroBeforeAnythingRan) {
  EXPECT_TRUE(Shows("ashlar_reconcile_errors_total{controller=\"widget\"} 0")) << registry_.Text();
  EXPECT_TRUE(Shows("ashlar_reconcile_duration_seconds_count{controller=\"widget\"} 0"));
  EXPECT_TRUE(Shows("ashlar_work_queue_depth{controller=\"widget\"} 0"));
}

TEST_F(ControllerTest, RequeuesAfterTheDelayThatTheReconcilerAsksFor) {
  reconciler_.Script([](const CallContext&) { return Action::RequeueAfter(absl::Minutes(1)); });
  Start();
  controller_.queue().Add({"", "a"});
  reconciler_.Await(1);
  clock_.AwaitWaiters(1);
  clock_.Advance(absl::Minutes(1));
  reconciler_.Await(2);
}

TEST_F(ControllerTest, RetriesAnErrorWithBackoffAndCountsIt) {
  reconciler_.Script([](const CallContext&) { return absl::UnavailableError("not now"); });
  Start();
  controller_.queue().Add({"", "a"});
  reconciler_.Await(1);
  clock_.AwaitWaiters(1);
  clock_.Advance(absl::Seconds(1));
  reconciler_.Await(2);
  clock_.AwaitWaiters(1);
  EXPECT_EQ(controller_.queue().Failures({"", "a"}), 2);
  EXPECT_TRUE(Shows("ashlar_reconcile_errors_total{controller=\"widget\"} 2"));
  reconciler_.Script(nullptr);
  clock_.Advance(absl::Seconds(2));
  reconciler_.Await(3);
  clock_.AwaitWaiters(1);
  EXPECT_EQ(controller_.queue().Failures({"", "a"}), 0) << "success forgets the failures";
}

TEST_F(ControllerTest, TerminalErrorWaitsForAChange) {
  for (const absl::Status& error :
       {absl::InvalidArgumentError("bad"), absl::UnimplementedError("not here")}) {
    EXPECT_TRUE(IsTerminal(error));
  }
  EXPECT_FALSE(IsTerminal(absl::FailedPreconditionError("later")));
  reconciler_.Script([](const CallContext&) { return absl::InvalidArgumentError("bad"); });
  Start();
  controller_.queue().Add({"", "a"});
  reconciler_.Await(1);
  clock_.AwaitWaiters(1);
  clock_.Advance(absl::Hours(1));
  controller_.queue().Add({"", "b"});
  reconciler_.Await(2);
  clock_.AwaitWaiters(1);
  EXPECT_EQ(reconciler_.count(), 2u) << "a was not repeated";
  controller_.queue().Add({"", "a"});
  reconciler_.Await(3);
}

TEST_F(ControllerTest, ReconcileSeesItsContextStopped) {
  std::atomic<bool> saw_stop = false;
  reconciler_.Script([&](const CallContext& context) -> absl::StatusOr<Action> {
    const absl::Status slept = SleepFor(clock_, context, absl::Minutes(1));
    saw_stop = absl::IsCancelled(slept);
    return slept;
  });
  StartWith({"", "a"});
  clock_.AwaitWaiters(1);
  thread_.request_stop();
  thread_.join();
  EXPECT_TRUE(saw_stop);
  EXPECT_TRUE(Shows("ashlar_reconcile_errors_total{controller=\"widget\"} 0"))
      << "a reconcile that was stopped has not failed";
}

TEST_F(ControllerTest, ReconcileEndsAtItsTimeout) {
  reconciler_.Script([&](const CallContext& context) -> absl::StatusOr<Action> {
    return SleepFor(clock_, context, absl::InfiniteDuration());
  });
  StartWith({"", "a"});
  clock_.AwaitWaiters(1);
  clock_.Advance(absl::Minutes(5));
  reconciler_.Await(1);
}

TEST_F(ControllerTest, RunnerReconcilesOnlyAfterEveryCacheIsFull) {
  kube::FakeClient api(clock_);
  const Json widget = {
      {"apiVersion", "example.dev/v1"}, {"kind", "Widget"}, {"metadata", {{"name", "a"}}}};
  ASSERT_TRUE(api.Create({}, kWidget, widget).ok());
  Informer informer(api, kWidget, clock_);
  controller_.Watch(informer);
  bool was_synced = false;
  reconciler_.Script([&](const CallContext&) {
    was_synced = informer.Synced();
    return Action::AwaitChange();
  });
  Runner runner(clock_);
  runner.Add(informer);
  runner.Add(controller_);
  absl::Status result = absl::UnknownError("runs");
  std::jthread main([&](std::stop_token stop) { result = runner.Run({.stop = stop}); });
  reconciler_.Await(1);
  EXPECT_TRUE(runner.ready());
  main.request_stop();
  main.join();
  EXPECT_TRUE(was_synced);
  EXPECT_TRUE(result.ok()) << result;
  EXPECT_FALSE(runner.ready());
}

TEST_F(ControllerTest, MappedWatchQueuesTheObjectsThatMustLookAgain) {
  kube::FakeClient api(clock_);
  Informer informer(api, kWidget, clock_);
  controller_.Watch(informer, [](const api::ObjectKey& changed) {
    return std::vector<api::ObjectKey>{{"", changed.name + "-1"}, {"", changed.name + "-2"}};
  });
  informer.Put({{"metadata", {{"name", "a"}, {"resourceVersion", "7"}}}});
  EXPECT_EQ(controller_.queue().Get(), (api::ObjectKey{"", "a-1"}));
  EXPECT_EQ(controller_.queue().Get(), (api::ObjectKey{"", "a-2"}));
}

}  // namespace
}  // namespace ashlar::runtime
