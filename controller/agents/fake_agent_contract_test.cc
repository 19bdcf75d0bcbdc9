#include "controller/agents/testing/agent_client_contract.h"
#include "controller/agents/testing/fake_agent.h"

namespace ashlar::controller {
namespace {

class FakeAgentUnderTest final : public AgentUnderTest {
 public:
  AgentClient& client() override { return agent_; }
  agent::v1::EnsurePoolRequest PoolRequest(const std::string& name) override {
    agent::v1::EnsurePoolRequest request;
    request.set_name(name);
    request.set_uid("uid-of-" + name);
    request.mutable_directory()->set_path("/var/lib/" + name);
    request.set_backend("File");
    request.set_provisioning(agent::v1::PROVISIONING_FULL);
    request.set_overprovision_percent(100);
    return request;
  }

 private:
  RealClock clock_;
  FakeAgent agent_{"node-1", int64_t{1} << 30, clock_};
};

std::unique_ptr<AgentUnderTest> MakeFakeAgentUnderTest() {
  return std::make_unique<FakeAgentUnderTest>();
}

INSTANTIATE_TEST_SUITE_P(FakeAgent, AgentClientContract, testing::Values(&MakeFakeAgentUnderTest));

}  // namespace
}  // namespace ashlar::controller
