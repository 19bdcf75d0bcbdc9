// What every AgentClient must do, whatever stands behind it: a suite that the fake and the real
// agent pass alike.
//
//   INSTANTIATE_TEST_SUITE_P(Fake, AgentClientContract, testing::Values(&MakeFakeAgentUnderTest));
#pragma once

#include <functional>
#include <memory>

#include "controller/agents/agent_client.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace ashlar::controller {

// An agent of node "node-1" with a client to it and room for at least 512 MiB in a pool.
class AgentUnderTest {
 public:
  virtual ~AgentUnderTest() = default;
  virtual AgentClient& client() = 0;
  // A pool that the agent can make ready, of this name.
  virtual agent::v1::EnsurePoolRequest PoolRequest(const std::string& name) = 0;
};

// nullptr: this machine cannot run the agent, the tests are skipped.
using MakeAgentUnderTest = std::unique_ptr<AgentUnderTest> (*)();

class AgentClientContract : public testing::TestWithParam<MakeAgentUnderTest> {
 protected:
  void SetUp() override;
  // The pool "fast", ready.
  void MakePool();
  agent::v1::EnsureVolumeRequest VolumeRequest(const std::string& id, int64_t bytes) const;
  // The first inventory of a stream for which `wanted` holds.
  agent::v1::Inventory AwaitInventory(
      const std::function<bool(const agent::v1::Inventory&)>& wanted);

  CallContext context_;
  std::unique_ptr<AgentUnderTest> agent_;
};

}  // namespace ashlar::controller
