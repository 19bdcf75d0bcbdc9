#include "controller/agents/agent_directory.h"

#include "controller/agents/testing/fake_agent.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/base/testing/simulated_clock.h"

namespace ashlar::controller {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;

constexpr int64_t kMi = int64_t{1} << 20;

class AgentDirectoryTest : public testing::Test {
 protected:
  AgentDirectoryTest()
      : agent_(std::make_shared<FakeAgent>("n1", 100 * kMi, clock_)),
        directory_({}, connector_, ledger_, clock_, [this](const ReportChange& change) {
          MutexLock lock(mu_);
          changes_.push_back(change);
          changed_.NotifyAll();
        }) {
    connector_.Add("n1:9500", agent_);
  }

  void AwaitChanges(size_t count) {
    MutexLock lock(mu_);
    while (changes_.size() < count) changed_.Wait(mu_);
  }
  ReportChange LastChange() {
    MutexLock lock(mu_);
    return changes_.back();
  }

  SimulatedClock clock_;
  std::shared_ptr<FakeAgent> agent_;
  FakeAgentConnector connector_;
  CapacityLedger ledger_;
  Mutex mu_;
  CondVar changed_;
  std::vector<ReportChange> changes_;
  AgentDirectory directory_;
};

agent::v1::EnsurePoolRequest Pool() {
  agent::v1::EnsurePoolRequest request;
  request.set_name("fast");
  request.set_uid("u1");
  request.mutable_directory()->set_path("/var/lib/fast");
  return request;
}

TEST_F(AgentDirectoryTest, AnAgentIsHeardAfterItsFirstReport) {
  EXPECT_EQ(directory_.View("n1").state, AgentState::kNone);
  directory_.SetAgent({"n1", "n1:9500", "pod-1"});
  AwaitChanges(1);
  EXPECT_TRUE(LastChange().first);
  EXPECT_EQ(directory_.View("n1").state, AgentState::kHeard);
  EXPECT_TRUE(directory_.Client("n1").ok());
}

TEST_F(AgentDirectoryTest, NobodyIsToldAnythingOnceItIsClosed) {
  directory_.SetAgent({"n1", "n1:9500", "pod-1"});
  AwaitChanges(1);
  directory_.Close();
  ASSERT_TRUE(agent_->EnsurePool({}, Pool()).ok());
  directory_.SetAgent({"n2", "n1:9500", "pod-2"});
  EXPECT_EQ(directory_.Nodes(), std::vector<std::string>{"n1"});
  MutexLock lock(mu_);
  EXPECT_EQ(changes_.size(), 1u);
}

TEST_F(AgentDirectoryTest, TheLedgerKnowsAReportBeforeListenersDo) {
  directory_.SetAgent({"n1", "n1:9500", "pod-1"});
  AwaitChanges(1);
  ASSERT_TRUE(agent_->EnsurePool({}, Pool()).ok());
  AwaitChanges(2);
  EXPECT_THAT(LastChange().roomier, Contains("fast"));
  const PlacementOutcome outcome =
      ledger_.Assign({{.node = "n1", .selected = true, .agent = AgentState::kHeard}},
                     {.volume = "v", .pool = "fast", .size_bytes = 100 * kMi});
  EXPECT_TRUE(std::holds_alternative<Plan>(outcome));
}

TEST_F(AgentDirectoryTest, OnlyWhatChangedIsTold) {
  ASSERT_TRUE(agent_->EnsurePool({}, Pool()).ok());
  agent_->AddVolume("v1", "fast", kMi);
  directory_.SetAgent({"n1", "n1:9500", "pod-1"});
  AwaitChanges(1);
  agent_->SetStaged("v1", true, 1);
  AwaitChanges(2);
  EXPECT_EQ(LastChange().used, std::vector<std::string>{"v1"});
  EXPECT_TRUE(LastChange().volumes.empty());
  EXPECT_TRUE(LastChange().pools.empty());
  agent_->Lose("v1");
  AwaitChanges(3);
  EXPECT_EQ(LastChange().volumes, std::vector<std::string>{"v1"});
}

TEST(AgentReport, WhatChangedOfGpusAloneIsTold) {
  agent::v1::Inventory inventory;
  inventory.add_gpus()->set_uuid("GPU-1");
  const AgentReport before(inventory);
  EXPECT_TRUE(Compare("n1", &before, AgentReport(inventory)).empty());
  agent::v1::Inventory ill = inventory, divided = inventory, hung = inventory;
  ill.mutable_gpus(0)->mutable_health()->add_xids()->set_code(79);
  divided.add_gpu_partitions()->set_claim("uid");
  hung.mutable_gpu_driver()->set_state("Hung");
  for (const agent::v1::Inventory& other : {ill, divided, hung}) {
    const ReportChange change = Compare("n1", &before, AgentReport(other));
    EXPECT_TRUE(change.gpus && !change.facts && !change.empty()) << other.ShortDebugString();
  }
}

TEST_F(AgentDirectoryTest, AFrozenAgentBecomesSilentAndIsHeardAgainOnANewConnection) {
  directory_.SetAgent({"n1", "n1:9500", "pod-1"});
  AwaitChanges(1);
  agent_->SetFrozen(true);
  clock_.Advance(absl::Seconds(31));
  const AgentView view = directory_.View("n1");
  EXPECT_EQ(view.state, AgentState::kSilent);
  EXPECT_THAT(view.detail, HasSubstr("not heard since 2023-11-14T22:13:20Z"));
  EXPECT_EQ(directory_.Client("n1").status().code(), absl::StatusCode::kUnavailable);
  agent_->SetFrozen(false);
  agent_->SetPoolProblem("x", "y");
  directory_.Reconnect("n1");
  agent_->EnsurePool({}, Pool()).IgnoreError();
  AwaitChanges(2);
  EXPECT_EQ(directory_.View("n1").state, AgentState::kHeard);
}

TEST_F(AgentDirectoryTest, ABrokenStreamIsTakenUpAgain) {
  directory_.SetAgent({"n1", "n1:9500", "pod-1"});
  AwaitChanges(1);
  agent_->SetReachable(false);
  clock_.AwaitWaiters(1);                                      // it waits before it tries again
  EXPECT_EQ(directory_.View("n1").state, AgentState::kHeard);  // what it said is still true
  agent_->SetReachable(true);
  agent_->AddVolume("v1", "fast", kMi);
  clock_.Advance(absl::Seconds(6));
  AwaitChanges(2);
  EXPECT_EQ(LastChange().volumes, std::vector<std::string>{"v1"});
}

TEST_F(AgentDirectoryTest, AnAgentThatMovesIsFollowed) {
  directory_.SetAgent({"n1", "n1:9500", "pod-1"});
  AwaitChanges(1);
  auto successor = std::make_shared<FakeAgent>("n1", 100 * kMi, clock_);
  successor->AddVolume("v1", "fast", kMi);
  connector_.Add("n1-new:9500", successor);
  directory_.SetAgent({"n1", "n1-new:9500", "pod-2"});
  AwaitChanges(2);
  EXPECT_FALSE(LastChange().first);
  EXPECT_EQ(LastChange().volumes, std::vector<std::string>{"v1"});
}

TEST_F(AgentDirectoryTest, AnAgentThatComesBackAfterItsNodeLostItIsFollowed) {
  directory_.SetAgent({"n1", "n1:9500", "pod-1"});
  AwaitChanges(1);
  directory_.RemoveAgent("n1");
  EXPECT_EQ(directory_.View("n1").state, AgentState::kNone);
  EXPECT_EQ(directory_.Client("n1").status().code(), absl::StatusCode::kUnavailable);
  agent_->AddVolume("v1", "fast", kMi);
  directory_.SetAgent({"n1", "n1:9500", "pod-1"});
  AwaitChanges(2);
  EXPECT_EQ(directory_.View("n1").state, AgentState::kHeard);
}

TEST_F(AgentDirectoryTest, AnAgentOfAnotherNodeIsNotBelieved) {
  connector_.Add("n2:9500", agent_);
  directory_.SetAgent({"n2", "n2:9500", "pod-1"});
  clock_.AwaitWaiters(1);
  EXPECT_EQ(directory_.View("n2").state, AgentState::kSilent);
  EXPECT_THAT(directory_.View("n2").detail, HasSubstr("says that it is of node \"n1\""));
}

TEST_F(AgentDirectoryTest, NothingIsConcludedBeforeAnAgentHadTimeToSpeak) {
  EXPECT_TRUE(directory_.View("n1").settling);
  clock_.Advance(absl::Seconds(31));
  EXPECT_FALSE(directory_.View("n1").settling);
  directory_.SetAgent({"n9", "nowhere:9500", "pod-1"});
  EXPECT_TRUE(directory_.View("n9").settling);
  clock_.Advance(absl::Seconds(31));
  EXPECT_FALSE(directory_.View("n9").settling);
  EXPECT_EQ(directory_.View("n9").state, AgentState::kSilent);
}

}  // namespace
}  // namespace ashlar::controller
