#include "cmd/ashlar/standalone_app.h"

#include <optional>
#include <thread>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "cmd/ashlar/node_objects.h"
#include "controller/agents/grpc_agent_connector.h"
#include "controller/controller_app.h"
#include "csi/csi_app.h"
#include "lib/base/log.h"
#include "lib/base/mutex.h"
#include "lib/base/status_macros.h"
#include "lib/kube/connection.h"
#include "lib/kube/http_client.h"
#include "lib/metrics/ops_server.h"
#include "lib/yaml/yaml.h"
#include "node-agent/service/agent_app.h"
#include "standalone/api_server.h"
#include "standalone/embedded_files.h"
#include "standalone/identity.h"
#include "standalone/private_file.h"

namespace ashlar::standalone {
namespace {

// Where people mount things. System directories are not among them.
constexpr const char* kUsualPlaces[] = {"/mnt", "/media", "/srv", "/opt", "/home", "/tmp", "/data"};
constexpr absl::Duration kRegisterWithin = absl::Seconds(20);

struct Address {
  std::string host;
  int port = 0;
};

absl::StatusOr<Address> ParseListen(const std::string& text) {
  Address address;
  const size_t colon = text.rfind(':');
  if (colon == std::string::npos || colon == 0 ||
      !absl::SimpleAtoi(text.substr(colon + 1), &address.port) || address.port < 0 ||
      address.port > 65535) {
    return absl::InvalidArgumentError(
        absl::StrCat("--listen ", text, ": expected ADDRESS:PORT, such as 127.0.0.1:6443"));
  }
  address.host = text.substr(0, colon);
  return address;
}

class RunningStandalone final : public StandaloneApp {
 public:
  RunningStandalone(DataDirectory& directory, const StandaloneOptions& options, Clock& clock)
      : directory_(directory), options_(options), clock_(clock) {}

  ~RunningStandalone() override {
    ops_.reset();
    csi_.reset();
    controller_thread_.request_stop();
    if (controller_thread_.joinable()) controller_thread_.join();
    controller_.reset();
    connector_.reset();
    if (agent_ != nullptr) agent_->Stop();
    agent_.reset();
    for (auto* client : {&controller_client_, &csi_client_}) client->reset();
    api_.reset();
  }

  absl::Status StartAll() {
    ASHLAR_RETURN_IF_ERROR(Annotate(StartApi(), "embedded API"));
    ASHLAR_RETURN_IF_ERROR(Annotate(StartAgent(), "node agent"));
    ASHLAR_RETURN_IF_ERROR(Annotate(StartController(), "controller"));
    ASHLAR_RETURN_IF_ERROR(Annotate(StartCsi(), "CSI driver"));
    return Annotate(StartOps(), "metrics");
  }

  std::string url() const override { return api_->url(); }
  std::string csi_endpoint() const override {
    return options_.csi_endpoint.empty() ? "unix://" + directory_.csi_socket()
                                         : options_.csi_endpoint;
  }
  int ops_port() const override { return ops_ == nullptr ? 0 : ops_->port(); }
  int agent_ops_port() const override { return agent_->ops_port(); }
  absl::Status Health() const override {
    MutexLock lock(mu_);
    return controller_status_;
  }

 private:
  absl::Status StartApi() {
    ASHLAR_ASSIGN_OR_RETURN(Address listen, ParseListen(options_.listen));
    ASHLAR_ASSIGN_OR_RETURN(identity_, LoadIdentity(directory_.identity(), listen.host, clock_));
    ApiServerOptions api;
    api.database = directory_.database();
    api.address = listen.host;
    api.port = listen.port;
    api.cert_pem = identity_.cert_pem;
    api.key_pem = identity_.key_pem;
    api.token = identity_.token;
    api.namespaces.push_back(kSystemNamespace);
    for (const EmbeddedFile& file : kDefinitionFiles) {
      ASHLAR_ASSIGN_OR_RETURN(Json definition, ParseYaml(file.text));
      api.definitions.push_back(std::move(definition));
    }
    ASHLAR_RETURN_IF_ERROR(ServeApi(api));
    ASHLAR_RETURN_IF_ERROR(WritePrivateFile(directory_.port_file(), absl::StrCat(api_->port())));
    ASHLAR_RETURN_IF_ERROR(
        WritePrivateFile(directory_.kubeconfig(), KubeconfigText(identity_, api_->url())));
    ASHLAR_ASSIGN_OR_RETURN(controller_client_, MakeClient("ashlar-controller"));
    ASHLAR_ASSIGN_OR_RETURN(csi_client_, MakeClient("ashlar-csi"));
    return absl::OkStatus();
  }

  // A free port is kept over restarts as long as nobody else takes it: clients go on.
  absl::Status ServeApi(ApiServerOptions api) {
    int kept = 0;
    auto text = ReadFile(directory_.port_file());
    if (api.port == 0 && text.ok() && absl::SimpleAtoi(*text, &kept)) {
      api.port = kept;
      auto served = ApiServer::Start(api, clock_);
      if (served.ok()) {
        api_ = *std::move(served);
        return absl::OkStatus();
      }
      if (!absl::IsUnavailable(served.status())) return served.status();
      api.port = 0;
    }
    ASHLAR_ASSIGN_OR_RETURN(api_, ApiServer::Start(std::move(api), clock_));
    return absl::OkStatus();
  }

  absl::StatusOr<std::unique_ptr<kube::Client>> MakeClient(const std::string& user_agent) {
    ASHLAR_ASSIGN_OR_RETURN(kube::Connection connection,
                            kube::LoadKubeconfig(directory_.kubeconfig()));
    kube::HttpClientOptions options;
    options.user_agent = user_agent;
    options.requests_per_second = 0;  // the server is in this process: it bounds itself
    return kube::MakeHttpClient(connection, clock_, options, &registry_);
  }

  absl::Status StartAgent() {
    node_agent::AgentOptions agent;
    agent.node_name = options_.node_name;
    agent.state_dir = directory_.agent_state();
    agent.listen = "127.0.0.1:0";
    agent.tls_dir = identity_.agent_tls_dir;
    agent.mount_socket = directory_.agent_socket();
    agent.ops_address = options_.agent_ops_address;
    agent.gpu_helper = options_.gpu_helper;
    agent.publish_roots.assign(std::begin(kUsualPlaces), std::end(kUsualPlaces));
    agent.publish_roots.push_back(directory_.path());
    for (const std::string& root : options_.publish_roots) agent.publish_roots.push_back(root);
    ASHLAR_ASSIGN_OR_RETURN(agent_, node_agent::AgentApp::Start({}, agent));
    CallContext context;
    context.deadline = clock_.Now() + kRegisterWithin;
    return RegisterNode(context, *controller_client_, clock_,
                        {options_.node_name, "127.0.0.1", agent_->port()});
  }

  absl::Status StartController() {
    ASHLAR_ASSIGN_OR_RETURN(connector_,
                            controller::MakeGrpcAgentConnector(identity_.controller_tls_dir));
    controller::ControllerAppOptions options;
    options.space = kSystemNamespace;
    options.identity = options_.node_name;
    options.leader_elect = false;  // the lock of the data directory elects
    options.dra = false;           // there is no scheduler who would allocate devices
    controller_ = std::make_unique<controller::ControllerApp>(
        std::move(options), *controller_client_, *connector_, clock_, registry_);
    controller_thread_ = std::jthread([this](const std::stop_token& stop) {
      CallContext context;
      context.stop = stop;
      absl::Status status = controller_->Run(context);
      if (status.ok()) return;
      LogError("controller ended", {{"error", std::string(status.message())}});
      MutexLock lock(mu_);
      controller_status_ = status;
    });
    return absl::OkStatus();
  }

  absl::Status StartCsi() {
    csi_driver::CsiOptions options;
    options.mode = csi_driver::Mode::kAll;
    options.endpoint = csi_endpoint();
    options.version = ASHLAR_VERSION;
    options.agent_socket = directory_.agent_socket();
    options.agent_tls_directory = identity_.controller_tls_dir;
    options.agent_space = kSystemNamespace;
    ASHLAR_ASSIGN_OR_RETURN(
        csi_, csi_driver::CsiApp::Start(std::move(options), clock_, registry_, csi_client_.get()));
    return absl::OkStatus();
  }

  absl::Status StartOps() {
    if (options_.ops_address.empty()) return absl::OkStatus();
    auto ready = [this]() -> absl::Status {
      ASHLAR_RETURN_IF_ERROR(controller_->Ready());
      return csi_->Ready();
    };
    ASHLAR_ASSIGN_OR_RETURN(ops_, metrics::ServeOps(options_.ops_address, registry_, ready));
    return absl::OkStatus();
  }

  DataDirectory& directory_;
  const StandaloneOptions options_;
  Clock& clock_;
  metrics::Registry registry_;
  Identity identity_;
  std::unique_ptr<ApiServer> api_;
  std::unique_ptr<kube::Client> controller_client_;
  std::unique_ptr<kube::Client> csi_client_;
  std::unique_ptr<node_agent::AgentApp> agent_;
  std::unique_ptr<controller::AgentConnector> connector_;
  std::unique_ptr<controller::ControllerApp> controller_;
  std::jthread controller_thread_;
  std::unique_ptr<csi_driver::CsiApp> csi_;
  std::unique_ptr<metrics::OpsServer> ops_;
  mutable Mutex mu_;
  absl::Status controller_status_ ABSL_GUARDED_BY(mu_);
};

}  // namespace

absl::StatusOr<std::unique_ptr<StandaloneApp>> StandaloneApp::Start(
    DataDirectory& directory, const StandaloneOptions& options, Clock& clock) {
  StandaloneOptions complete = options;
  if (complete.node_name.empty()) complete.node_name = HostNodeName();
  auto app = std::make_unique<RunningStandalone>(directory, complete, clock);
  ASHLAR_RETURN_IF_ERROR(app->StartAll());
  return app;
}

}  // namespace ashlar::standalone
