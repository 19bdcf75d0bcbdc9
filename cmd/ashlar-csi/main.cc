// ashlar-csi: the CSI driver, as a controller or a node plugin. Wiring only; see csi/csi_app.h.
#include <csignal>
#include <iostream>

#include "CLI/CLI.hpp"
#include "csi/csi_app.h"
#include "csi/topology.h"
#include "lib/base/heap.h"
#include "lib/base/log.h"
#include "lib/kube/http_client.h"
#include "lib/metrics/ops_server.h"

namespace ashlar::csi_driver {
namespace {

struct Flags {
  CsiOptions csi;
  std::string mode = "all";
  std::vector<std::string> topology;
  std::string kubeconfig;
  std::string ops_address = "0.0.0.0:9503";
  std::string log_level = "info";
};

void AddFlags(CLI::App& cli, Flags& flags) {
  cli.add_option("--mode", flags.mode,
                 "controller (Volume objects), node (mounts; needs no Kubernetes credentials), or "
                 "all")
      ->check(CLI::IsMember({"controller", "node", "all"}))
      ->capture_default_str();
  cli.add_option("--endpoint", flags.csi.endpoint, "Socket to serve CSI on: unix:///path")
      ->required();
  cli.add_option("--kubeconfig", flags.kubeconfig,
                 "How to reach the Kubernetes API (modes controller and all); without it, the "
                 "pod's service account");
  cli.add_option("--agent-tls-dir", flags.csi.agent_tls_directory,
                 "Directory with ca.crt, tls.crt and tls.key of the controller: serve "
                 "SnapshotMetadata too, for which agents are asked (modes controller and all)");
  cli.add_option("--namespace", flags.csi.agent_space,
                 "Namespace of the agents' pods; default: that of the credentials");
  cli.add_option("--agent-socket", flags.csi.agent_socket,
                 "Unix socket of the node agent (modes node and all)")
      ->capture_default_str();
  cli.add_option("--registration-dir", flags.csi.registration_directory,
                 "The kubelet's plugins_registry directory; empty: do not register");
  cli.add_option("--kubelet-endpoint", flags.csi.kubelet_endpoint,
                 "Path of the CSI socket as the kubelet sees it");
  cli.add_option("--topology", flags.topology,
                 "key=value: a label of this node, such as topology.kubernetes.io/zone=a, as a "
                 "segment of its topology; empty values are left out (modes node and all)");
  cli.add_flag("--volume-mount-group", flags.csi.node.mount_group,
               "Announce VOLUME_MOUNT_GROUP: files are given to a pod's fsGroup by the agent, and "
               "only when the root of the volume does not have it already");
  cli.add_option("--ops-address", flags.ops_address,
                 "host:port of /metrics, /healthz and /readyz; empty for none")
      ->capture_default_str();
  cli.add_option("--log-level", flags.log_level, "debug, info, warning or error")
      ->check(CLI::IsMember({"debug", "info", "warning", "error"}))
      ->capture_default_str();
}

// Blocks SIGINT and SIGTERM in this and all later threads, so that main can wait for them.
sigset_t BlockSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  return signals;
}

int Fail(const absl::Status& status) {
  std::cerr << "ashlar-csi: " << status.message() << "\n";
  return 1;
}

// Sets the namespace of the agents if it is not given.
absl::StatusOr<std::unique_ptr<kube::Client>> MakeKube(Flags& flags, Clock& clock,
                                                       metrics::Registry& registry) {
  auto connection = kube::FindConnection(flags.kubeconfig);
  if (!connection.ok()) return connection.status();
  if (flags.csi.agent_space.empty())
    flags.csi.agent_space = connection->space.empty() ? "default" : connection->space;
  return kube::MakeHttpClient(*connection, clock, {.user_agent = "ashlar-csi"}, &registry);
}

int Run(Flags& flags) {
  const sigset_t signals = BlockSignals();
  RealClock clock;
  metrics::Registry registry;
  flags.csi.mode = *ParseMode(flags.mode);
  flags.csi.version = ASHLAR_VERSION;
  auto segments = ParseSegments(flags.topology);
  if (!segments.ok()) return Fail(segments.status());
  flags.csi.node.topology = *std::move(segments);
  std::unique_ptr<kube::Client> kube;
  if (flags.csi.mode != Mode::kNode) {
    auto made = MakeKube(flags, clock, registry);
    if (!made.ok()) return Fail(made.status());
    kube = *std::move(made);
  }
  auto app = CsiApp::Start(flags.csi, clock, registry, kube.get());
  if (!app.ok()) return Fail(app.status());
  std::unique_ptr<metrics::OpsServer> ops;
  if (!flags.ops_address.empty()) {
    auto served =
        metrics::ServeOps(flags.ops_address, registry, [&app] { return (*app)->Ready(); });
    if (!served.ok()) return Fail(served.status());
    ops = *std::move(served);
  }
  int received = 0;
  sigwait(&signals, &received);
  LogInfo("CSI driver ends; volumes stay mounted", {{"signal", received}});
  return 0;
}

}  // namespace
}  // namespace ashlar::csi_driver

int main(int argc, char** argv) {
  ashlar::LimitHeap();
  ashlar::csi_driver::Flags flags;
  flags.csi.agent_socket = "/run/ashlar/node-mount.sock";
  CLI::App cli("Serves the Container Storage Interface for Ashlar volumes.", "ashlar-csi");
  cli.set_version_flag("--version", ASHLAR_VERSION);
  AddFlags(cli, flags);
  CLI11_PARSE(cli, argc, argv);
  ashlar::SetLogLevel(flags.log_level);
  return ashlar::csi_driver::Run(flags);
}
