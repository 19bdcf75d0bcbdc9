#include "lib/kube/leader_elector.h"

#include <thread>

#include "gtest/gtest.h"
#include "lib/base/mutex.h"
#include "lib/base/testing/simulated_clock.h"
#include "lib/kube/core_kinds.h"
#include "lib/kube/testing/fake_client.h"
#include "lib/kube/testing/flaky_client.h"

namespace ashlar::kube {
namespace {

const ObjectKey kLeaseKey{"ashlar", "controller"};

// A process that takes part in the election.
class Candidate {
 public:
  Candidate(FakeClient& api, Clock& clock, const std::string& identity)
      : client_(api), elector_(client_, clock, {.lease = kLeaseKey, .identity = identity}) {}
  void Start() {
    thread_ = std::jthread([this](std::stop_token stop) {
      result_ = elector_.Run({.stop = stop}, [this](std::stop_token lead) {
        SetLeading(true);
        Mutex mu;
        CondVar cv;
        std::stop_callback wake(lead, [&] {
          MutexLock lock(mu);
          cv.NotifyAll();
        });
        {
          MutexLock lock(mu);
          while (!lead.stop_requested()) cv.Wait(mu);
        }
        SetLeading(false);
      });
    });
  }
  void AwaitLeading(bool leading) {
    MutexLock lock(mu_);
    while (leading_ != leading) changed_.Wait(mu_);
  }
  absl::Status Stop() {
    thread_.request_stop();
    return Join();
  }
  absl::Status Join() {
    thread_.join();
    return result_;
  }
  FlakyClient& client() { return client_; }
  bool leading() const { return elector_.leading(); }

 private:
  void SetLeading(bool leading) {
    MutexLock lock(mu_);
    leading_ = leading;
    changed_.NotifyAll();
  }
  FlakyClient client_;
  LeaderElector elector_;
  Mutex mu_;
  CondVar changed_;
  bool leading_ ABSL_GUARDED_BY(mu_) = false;
  absl::Status result_ = absl::UnknownError("runs");
  std::jthread thread_;
};

class LeaderElectorTest : public ::testing::Test {
 protected:
  std::string Holder() {
    return JsonString(*api_.Get({}, kLease, kLeaseKey), {"spec", "holderIdentity"});
  }
  // Lets time pass in the steps of the retry period, each candidate acting in between.
  void Pass(absl::Duration time, int candidates) {
    for (absl::Duration gone; gone < time; gone += absl::Seconds(2)) {
      clock_.AwaitWaiters(candidates);
      clock_.Advance(absl::Seconds(2));
    }
    clock_.AwaitWaiters(candidates);
  }

  SimulatedClock clock_;
  FakeClient api_{clock_};
  Candidate a_{api_, clock_, "a"};
  Candidate b_{api_, clock_, "b"};
};

TEST_F(LeaderElectorTest, FirstCandidateLeadsAndRenews) {
  a_.Start();
  a_.AwaitLeading(true);
  Pass(absl::Minutes(1), 1);
  EXPECT_TRUE(a_.leading());
  const Json lease = *api_.Get({}, kLease, kLeaseKey);
  EXPECT_EQ(lease["spec"]["holderIdentity"], "a");
  EXPECT_EQ(lease["spec"]["leaseTransitions"], 0);
  EXPECT_EQ(lease["spec"]["leaseDurationSeconds"], 15);
  EXPECT_NE(lease["spec"]["renewTime"], lease["spec"]["acquireTime"]);
  EXPECT_TRUE(a_.Stop().ok());
}

TEST_F(LeaderElectorTest, SecondCandidateWaitsAndTakesOverAfterRelease) {
  a_.Start();
  a_.AwaitLeading(true);
  b_.Start();
  Pass(absl::Minutes(1), 2);
  EXPECT_FALSE(b_.leading());
  EXPECT_TRUE(a_.Stop().ok());
  EXPECT_EQ(Holder(), "") << "released at shutdown";
  clock_.AwaitWaiters(1);
  clock_.Advance(absl::Seconds(2));
  b_.AwaitLeading(true);
  EXPECT_EQ((*api_.Get({}, kLease, kLeaseKey))["spec"]["leaseTransitions"], 1);
  EXPECT_TRUE(b_.Stop().ok());
}

TEST_F(LeaderElectorTest, LeaderThatCannotRenewStopsBeforeAnotherLeads) {
  a_.Start();
  a_.AwaitLeading(true);
  b_.Start();
  Pass(absl::Seconds(4), 2);
  a_.client().SetFault([](absl::string_view, const auto&, const auto&) {
    return absl::UnavailableError("no route");
  });
  for (int i = 0; i < 5; ++i) {
    clock_.AwaitWaiters(2);
    clock_.Advance(absl::Seconds(2));
  }
  EXPECT_EQ(a_.Join().code(), absl::StatusCode::kAborted);
  EXPECT_FALSE(a_.leading());
  EXPECT_FALSE(b_.leading()) << "10 s after the last renewal the lease has not lapsed";
  EXPECT_EQ(Holder(), "a");
  Pass(absl::Seconds(8), 1);
  b_.AwaitLeading(true);
  EXPECT_EQ(Holder(), "b");
  EXPECT_TRUE(b_.Stop().ok());
}

TEST_F(LeaderElectorTest, ShortOutageDoesNotEndLeading) {
  a_.Start();
  a_.AwaitLeading(true);
  clock_.AwaitWaiters(1);
  a_.client().FailNext("update", absl::UnavailableError("no route"), 3);
  Pass(absl::Seconds(20), 1);
  EXPECT_TRUE(a_.leading());
  EXPECT_TRUE(a_.Stop().ok());
}

TEST_F(LeaderElectorTest, LeaseTakenByAnotherEndsLeadingAtOnce) {
  a_.Start();
  a_.AwaitLeading(true);
  clock_.AwaitWaiters(1);
  Json lease = *api_.Get({}, kLease, kLeaseKey);
  lease["spec"]["holderIdentity"] = "thief";
  ASSERT_TRUE(api_.Update({}, kLease, lease, Subresource::kNone).ok());
  clock_.Advance(absl::Seconds(2));  // the write conflicts
  clock_.AwaitWaiters(1);
  clock_.Advance(absl::Seconds(2));  // the look shows the thief
  EXPECT_EQ(a_.Join().code(), absl::StatusCode::kAborted);
  EXPECT_EQ(Holder(), "thief") << "what is not held is not released";
}

TEST_F(LeaderElectorTest, StopWhileWaitingIsNoError) {
  a_.Start();
  a_.AwaitLeading(true);
  b_.Start();
  clock_.AwaitWaiters(2);
  EXPECT_TRUE(b_.Stop().ok());
  EXPECT_EQ(Holder(), "a");
  EXPECT_TRUE(a_.Stop().ok());
}

}  // namespace
}  // namespace ashlar::kube
