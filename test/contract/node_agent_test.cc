// The suite of AgentClient against the real agent, over mutual TLS and the real kernel.
#include "absl/strings/str_cat.h"
#include "controller/agents/grpc_agent_connector.h"
#include "controller/agents/testing/agent_client_contract.h"
#include "lib/rpc/testing/tls_directory.h"
#include "node-agent/service/agent_app.h"
#include "node-agent/testing/loop_lab.h"

namespace ashlar::controller {
namespace {

class RealAgent final : public AgentUnderTest {
 public:
  // nullptr if the machine lacks what it needs.
  static std::unique_ptr<RealAgent> Make() {
    if (!node_agent::LoopLab::Missing().empty()) return nullptr;
    auto made = std::make_unique<RealAgent>();
    const tls::KeyPair ca = rpc::MakeTestCa();
    made->agent_tls_.Write(ca, "ashlar-node-agent");
    made->controller_tls_.Write(ca, "ashlar-controller");
    node_agent::AgentOptions options;
    options.node_name = "node-1";
    options.state_dir = made->lab_.Path("state");
    options.listen = "127.0.0.1:0";
    options.tls_dir = made->agent_tls_.path();
    options.mount_socket = made->lab_.Path("run/node-mount.sock");
    options.ops_address = "";
    auto app = node_agent::AgentApp::Start({}, options);
    EXPECT_TRUE(app.ok()) << app.status();
    if (!app.ok()) return nullptr;
    made->app_ = *std::move(app);
    made->filesystem_ = made->lab_.MakeFilesystem("xfs", int64_t{1} << 30);
    auto connector = MakeGrpcAgentConnector(made->controller_tls_.path());
    EXPECT_TRUE(connector.ok()) << connector.status();
    made->client_ =
        (*connector)
            ->Connect({"node-1", absl::StrCat("127.0.0.1:", made->app_->port()), "process"});
    return made;
  }

  AgentClient& client() override { return *client_; }

  agent::v1::EnsurePoolRequest PoolRequest(const std::string& name) override {
    agent::v1::EnsurePoolRequest request;
    request.set_name(name);
    request.set_uid("uid-of-" + name);
    request.mutable_directory()->set_path(filesystem_ + "/" + name);
    request.set_backend("File");
    request.set_provisioning(agent::v1::PROVISIONING_FULL);
    request.set_overprovision_percent(100);
    return request;
  }

 private:
  node_agent::LoopLab lab_;
  rpc::TlsDirectory agent_tls_;
  rpc::TlsDirectory controller_tls_;
  std::string filesystem_;
  std::unique_ptr<node_agent::AgentApp> app_;
  std::shared_ptr<AgentClient> client_;
};

std::unique_ptr<AgentUnderTest> MakeRealAgent() { return RealAgent::Make(); }

INSTANTIATE_TEST_SUITE_P(RealAgent, AgentClientContract, testing::Values(&MakeRealAgent));

}  // namespace
}  // namespace ashlar::controller
