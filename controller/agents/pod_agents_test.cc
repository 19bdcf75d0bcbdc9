#include "controller/agents/pod_agents.h"

#include "controller/agents/testing/fake_agent.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/base/testing/simulated_clock.h"

namespace ashlar::controller {
namespace {

Json Pod(const std::string& name, const std::string& node, const std::string& ip,
         const std::string& created = "2026-01-01T00:00:00Z") {
  return {
      {"metadata", {{"name", name}, {"uid", "uid-" + name}, {"creationTimestamp", created}}},
      {"spec",
       {{"nodeName", node},
        {"containers",
         Json::array({{{"name", "agent"},
                       {"ports", Json::array({{{"name", "ops"}, {"containerPort", 9501}},
                                              {{"name", "agent"}, {"containerPort", 9500}}})}}})}}},
      {"status", {{"podIP", ip}, {"phase", "Running"}}}};
}

TEST(AgentAddressOf, IsTheAddressOfThePodAndThePortOfTheName) {
  const auto address = AgentAddressOf(Pod("p", "n1", "10.0.0.1"));
  ASSERT_TRUE(address.has_value());
  EXPECT_EQ(*address, (AgentAddress{"n1", "10.0.0.1:9500", "uid-p"}));
  EXPECT_EQ(AgentAddressOf(Pod("p", "n1", "fd00::1"))->address, "[fd00::1]:9500");
}

TEST(AgentAddressOf, IsNothingForPodsThatDoNotAnswer) {
  EXPECT_FALSE(AgentAddressOf(Pod("p", "n1", "")).has_value());
  EXPECT_FALSE(AgentAddressOf(Pod("p", "", "10.0.0.1")).has_value());
  EXPECT_FALSE(AgentAddressOf(Json::object()).has_value());
  EXPECT_FALSE(AgentAddressOf(Json("text")).has_value());
  Json failed = Pod("p", "n1", "10.0.0.1");
  failed["status"]["phase"] = "Failed";
  EXPECT_FALSE(AgentAddressOf(failed).has_value());
  Json no_port = Pod("p", "n1", "10.0.0.1");
  no_port["spec"]["containers"][0]["ports"][1]["name"] = "other";
  EXPECT_FALSE(AgentAddressOf(no_port).has_value());
}

class PodAgentsTest : public testing::Test {
 protected:
  // The revision of the agent that the directory follows for n1.
  bool Follows(FakeAgent& agent, int streams) {
    agent.AwaitStreams(streams);
    return true;
  }

  SimulatedClock clock_;
  FakeAgentConnector connector_;
  CapacityLedger ledger_;
  AgentDirectory directory_{{}, connector_, ledger_, clock_, [](const ReportChange&) {}};
  PodAgents agents_{directory_};
};

TEST_F(PodAgentsTest, TheYoungestPodThatStaysIsTheAgent) {
  auto old_agent = std::make_shared<FakeAgent>("n1", 0, clock_);
  auto new_agent = std::make_shared<FakeAgent>("n1", 0, clock_);
  connector_.Add("10.0.0.1:9500", old_agent);
  connector_.Add("10.0.0.2:9500", new_agent);
  Json old_pod = Pod("old", "n1", "10.0.0.1", "2026-01-01T00:00:00Z");
  Json new_pod = Pod("new", "n1", "10.0.0.2", "2026-01-02T00:00:00Z");
  agents_.Note({"ns", "old"}, &old_pod);
  EXPECT_TRUE(Follows(*old_agent, 1));
  agents_.Note({"ns", "new"}, &new_pod);
  EXPECT_TRUE(Follows(*new_agent, 1));
  // Neither its late end nor an echo of the old pod takes the new one's place.
  old_pod["metadata"]["deletionTimestamp"] = "2026-01-02T00:00:01Z";
  agents_.Note({"ns", "old"}, &old_pod);
  agents_.Note({"ns", "old"}, nullptr);
  EXPECT_NE(directory_.View("n1").state, AgentState::kNone);
  agents_.Note({"ns", "new"}, nullptr);
  EXPECT_EQ(directory_.View("n1").state, AgentState::kNone);
}

TEST_F(PodAgentsTest, APodThatLosesItsAddressIsNoAgent) {
  Json pod = Pod("p", "n1", "10.0.0.1");
  agents_.Note({"ns", "p"}, &pod);
  EXPECT_EQ(directory_.View("n1").state, AgentState::kSilent);
  pod["status"]["phase"] = "Failed";
  agents_.Note({"ns", "p"}, &pod);
  EXPECT_EQ(directory_.View("n1").state, AgentState::kNone);
}

}  // namespace
}  // namespace ashlar::controller
