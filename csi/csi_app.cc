#include "csi/csi_app.h"

#include "absl/strings/str_cat.h"
#include "csi/names.h"
#include "lib/api/kinds.h"
#include "lib/base/log.h"
#include "lib/base/status_macros.h"
#include "lib/rpc/unix_socket.h"
#include "lib/runtime/informer.h"

namespace ashlar::csi_driver {
namespace {

// External sidecars send this many calls at a time at most, and each one waits in its own thread.
constexpr int kMaxCalls = 512;
constexpr absl::Duration kProbeEvery = absl::Seconds(5);

absl::Status CheckOptions(const CsiOptions& options, const kube::Client* kube) {
  if (rpc::UnixSocketPath(options.endpoint).empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("endpoint '", options.endpoint, "' must be unix:///path"));
  }
  if (options.mode != Mode::kNode && kube == nullptr) {
    return absl::InvalidArgumentError("the controller service needs a Kubernetes API");
  }
  if (options.mode != Mode::kController && options.agent_socket.empty()) {
    return absl::InvalidArgumentError("the node service needs the socket of the node agent");
  }
  if (options.mode == Mode::kNode && !options.agent_tls_directory.empty()) {
    return absl::InvalidArgumentError(
        "the node service reaches its own agent alone, and needs no certificates");
  }
  if (options.mode == Mode::kController && !options.registration_directory.empty()) {
    return absl::InvalidArgumentError("only a node service can be registered with the kubelet");
  }
  return absl::OkStatus();
}

}  // namespace

struct CsiApp::ControllerHalf {
  ControllerHalf(kube::Client& kube, Clock& clock, rpc::CallRunner& runner)
      : volume_informer(kube, api::Kind<v1alpha1::Volume>(), clock),
        pool_informer(kube, api::Kind<v1alpha1::Pool>(), clock),
        snapshot_informer(kube, api::Kind<v1alpha1::Snapshot>(), clock),
        group_informer(kube, api::Kind<v1alpha1::SnapshotGroup>(), clock),
        volumes(kube, volume_informer, clock),
        snapshots(kube, volumes, snapshot_informer, group_informer, clock),
        controller(kube, volumes, snapshots, pool_informer),
        publications(volumes, pool_informer),
        service(controller, publications, snapshots, runner),
        group_service(snapshots, runner),
        snapshot_thread([this](std::stop_token stop) { snapshot_informer.Run(stop); }),
        group_thread([this](std::stop_token stop) { group_informer.Run(stop); }),
        volume_thread([this](std::stop_token stop) { volume_informer.Run(stop); }),
        pool_thread([this](std::stop_token stop) { pool_informer.Run(stop); }) {}

  absl::Status Ready() const {
    if (volume_informer.Synced() && pool_informer.Synced() && snapshots.Synced()) {
      return absl::OkStatus();
    }
    return absl::UnavailableError(
        "Volumes, Snapshots and Pools have not been read from Kubernetes yet");
  }

  runtime::Informer volume_informer;
  runtime::Informer pool_informer;
  runtime::Informer snapshot_informer;
  runtime::Informer group_informer;
  VolumeObjects volumes;
  Snapshots snapshots;
  Controller controller;
  Publications publications;
  ControllerService service;
  GroupControllerService group_service;
  std::jthread snapshot_thread;
  std::jthread group_thread;
  std::jthread volume_thread;
  std::jthread pool_thread;
};

struct CsiApp::NodeHalf {
  NodeHalf(const CsiOptions& options, Clock& own_clock, rpc::CallRunner& runner)
      : clock(own_clock),
        agent(options.agent_socket, own_clock),
        node(agent, options.node),
        service(node, runner),
        prober([this](std::stop_token stop) { Probe(std::move(stop)); }) {}

  // Asks the agent again and again, so that Ready need not block.
  void Probe(std::stop_token stop) {
    const CallContext context{.stop = stop};
    do {
      const absl::Status answer = agent.GetNode(context).status();
      MutexLock lock(mu);
      if (answer.code() != last_answer.code()) {
        Log(answer.ok() ? LogLevel::kInfo : LogLevel::kWarning, "node agent",
            {{"answers", answer.ok()}, {"error", std::string(answer.message())}});
      }
      last_answer = answer;
    } while (SleepFor(clock, context, kProbeEvery).ok());
  }

  absl::Status Ready() const {
    MutexLock lock(mu);
    return last_answer;
  }

  Clock& clock;
  AgentMount agent;
  Node node;
  NodeService service;
  mutable Mutex mu;
  absl::Status last_answer ABSL_GUARDED_BY(mu) =
      absl::UnavailableError("the node agent has not answered yet");
  std::jthread prober;
};

struct CsiApp::MetadataPart {
  MetadataPart(kube::Client& kube, const std::string& space, AgentExtents::Dial dial,
               Snapshots& snapshots, rpc::CallRunner& runner)
      : agents(kube, space, std::move(dial)),
        metadata(snapshots, agents),
        service(metadata, runner) {}

  AgentExtents agents;
  SnapshotMetadata metadata;
  SnapshotMetadataService service;
};

absl::StatusOr<Mode> ParseMode(absl::string_view text) {
  if (text == "controller") return Mode::kController;
  if (text == "node") return Mode::kNode;
  if (text == "all") return Mode::kAll;
  return absl::InvalidArgumentError(
      absl::StrCat("mode '", text, "' is not known; accepted: controller, node, all"));
}

absl::StatusOr<std::unique_ptr<CsiApp>> CsiApp::Start(CsiOptions options, Clock& clock,
                                                      metrics::Registry& registry,
                                                      kube::Client* kube) {
  ASHLAR_RETURN_IF_ERROR(CheckOptions(options, kube));
  AgentExtents::Dial dial;
  if (!options.agent_tls_directory.empty()) {
    ASHLAR_ASSIGN_OR_RETURN(dial, DialWithTls(options.agent_tls_directory));
  }
  std::unique_ptr<CsiApp> app(
      new CsiApp(std::move(options), clock, registry, kube, std::move(dial)));
  ASHLAR_RETURN_IF_ERROR(app->Serve());
  return app;
}

CsiApp::CsiApp(CsiOptions options, Clock& clock, metrics::Registry& registry, kube::Client* kube,
               AgentExtents::Dial dial)
    : options_(std::move(options)), clock_(clock) {
  std::vector<std::string> services = {csi::v1::Identity::service_full_name()};
  if (options_.mode != Mode::kNode) {
    services.push_back(csi::v1::Controller::service_full_name());
    services.push_back(csi::v1::GroupController::service_full_name());
  }
  if (dial != nullptr) services.push_back(csi::v1::SnapshotMetadata::service_full_name());
  if (options_.mode != Mode::kController) services.push_back(csi::v1::Node::service_full_name());
  runner_ = std::make_unique<rpc::CallRunner>(
      rpc::CallRunner::Options{.max_calls = kMaxCalls, .services = services}, clock, registry);
  if (options_.mode != Mode::kNode) {
    controller_ = std::make_unique<ControllerHalf>(*kube, clock, *runner_);
  }
  if (dial != nullptr)
    metadata_ = std::make_unique<MetadataPart>(*kube, options_.agent_space, std::move(dial),
                                               controller_->snapshots, *runner_);
  if (options_.mode != Mode::kController) {
    node_ = std::make_unique<NodeHalf>(options_, clock, *runner_);
  }
  // Probe answers for what this process can do; whether the kubelet knows of it is none of that,
  // since the kubelet probes before it registers.
  identity_ = std::make_unique<IdentityService>(
      options_.mode, metadata_ != nullptr, options_.version,
      [this] {
        if (controller_ != nullptr) ASHLAR_RETURN_IF_ERROR(controller_->Ready());
        return node_ != nullptr ? node_->Ready() : absl::OkStatus();
      },
      *runner_);
}

CsiApp::~CsiApp() {
  registration_.reset();
  if (server_ != nullptr) server_->Shutdown(absl::Seconds(1));
  runner_.reset();  // calls have ended; their threads end
}

absl::Status CsiApp::Serve() {
  std::vector<grpc::Service*> services = {identity_.get()};
  if (controller_ != nullptr) {
    services.push_back(&controller_->service);
    services.push_back(&controller_->group_service);
  }
  if (metadata_ != nullptr) services.push_back(&metadata_->service);
  if (node_ != nullptr) services.push_back(&node_->service);
  ASHLAR_ASSIGN_OR_RETURN(server_, rpc::Server::Start({.address = options_.endpoint}, services));
  LogInfo("CSI driver serves", {{"endpoint", options_.endpoint}});
  if (options_.registration_directory.empty()) return absl::OkStatus();
  kubelet::PluginRegistrationOptions registration{.directory = options_.registration_directory,
                                                  .driver = kDriverName,
                                                  .type = "CSIPlugin",
                                                  .kubelet_endpoint = options_.kubelet_endpoint,
                                                  .versions = {"1.0.0"}};
  ASHLAR_ASSIGN_OR_RETURN(
      registration_, kubelet::PluginRegistration::Start(std::move(registration), clock_, *runner_));
  return absl::OkStatus();
}

absl::Status CsiApp::Ready() const {
  if (controller_ != nullptr) ASHLAR_RETURN_IF_ERROR(controller_->Ready());
  if (node_ != nullptr) ASHLAR_RETURN_IF_ERROR(node_->Ready());
  if (registration_ != nullptr) return registration_->Registered();
  return absl::OkStatus();
}

}  // namespace ashlar::csi_driver
