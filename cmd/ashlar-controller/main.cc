// ashlar-controller: reconciles pools, volumes and node inventories of a cluster. Wiring only; see
// controller/controller_app.h.
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <iostream>
#include <thread>

#include "CLI/CLI.hpp"
#include "controller/agents/grpc_agent_connector.h"
#include "controller/controller_app.h"
#include "lib/base/heap.h"
#include "lib/base/log.h"
#include "lib/base/status_macros.h"
#include "lib/kube/connection.h"
#include "lib/kube/http_client.h"
#include "lib/metrics/ops_server.h"

namespace {

struct Flags {
  std::string kubeconfig;
  std::string space;
  std::string tls_dir = "/etc/ashlar/tls";
  std::string ops_address = "0.0.0.0:9502";
  std::string log_level = "info";
  bool leader_elect = true;
  bool dra = true;
};

void AddFlags(CLI::App& cli, Flags& flags) {
  cli.add_option("--kubeconfig", flags.kubeconfig,
                 "Kubeconfig file; without it the service account of the pod is used");
  cli.add_option(
      "--namespace", flags.space,
      "Namespace of the agents' pods and of the Lease; default: that of the credentials");
  cli.add_option("--tls-dir", flags.tls_dir,
                 "Directory with ca.crt, tls.crt and tls.key; reread when they change")
      ->capture_default_str();
  cli.add_option("--ops-address", flags.ops_address,
                 "host:port of /metrics, /healthz and /readyz; empty for none")
      ->capture_default_str();
  cli.add_option("--leader-elect", flags.leader_elect,
                 "Lead only while holding the Lease ashlar-controller")
      ->capture_default_str();
  cli.add_option("--dra", flags.dra,
                 "Offer drives and GPUs to ResourceClaims, where the API server has "
                 "resource.k8s.io/v1 when the process starts")
      ->capture_default_str();
  cli.add_option("--log-level", flags.log_level, "debug, info, warning or error")
      ->check(CLI::IsMember({"debug", "info", "warning", "error"}))
      ->capture_default_str();
}

// The name of this replica in the Lease and in events.
std::string Identity() {
  if (const char* pod = std::getenv("POD_NAME"); pod != nullptr && *pod != '\0') return pod;
  char host[256] = "ashlar-controller";
  gethostname(host, sizeof(host) - 1);
  return absl::StrCat(host, "-", getpid());
}

absl::Status Run(const Flags& flags, std::stop_token stop) {
  ashlar::RealClock clock;
  ashlar::metrics::Registry registry;
  ASHLAR_ASSIGN_OR_RETURN(ashlar::kube::Connection connection,
                          ashlar::kube::FindConnection(flags.kubeconfig));
  // The API server's own fairness bounds a controller better than a fixed rate does.
  ASHLAR_ASSIGN_OR_RETURN(
      auto client, ashlar::kube::MakeHttpClient(
                       connection, clock,
                       {.user_agent = "ashlar-controller", .requests_per_second = 0}, &registry));
  ASHLAR_ASSIGN_OR_RETURN(auto agents, ashlar::controller::MakeGrpcAgentConnector(flags.tls_dir));
  ashlar::controller::ControllerAppOptions options;
  options.space = !flags.space.empty()       ? flags.space
                  : connection.space.empty() ? "default"
                                             : connection.space;
  options.identity = Identity();
  options.leader_elect = flags.leader_elect;
  options.dra = flags.dra;
  ashlar::controller::ControllerApp app(options, *client, *agents, clock, registry);
  std::unique_ptr<ashlar::metrics::OpsServer> ops;
  if (!flags.ops_address.empty()) {
    ASHLAR_ASSIGN_OR_RETURN(
        ops, ashlar::metrics::ServeOps(flags.ops_address, registry, [&] { return app.Ready(); }));
  }
  ashlar::CallContext context;
  context.stop = stop;
  return app.Run(context);
}

}  // namespace

int main(int argc, char** argv) {
  ashlar::LimitHeap();
  Flags flags;
  CLI::App cli("Places, carves and looks after volumes through the agents of the nodes.",
               "ashlar-controller");
  AddFlags(cli, flags);
  CLI11_PARSE(cli, argc, argv);
  ashlar::SetLogLevel(flags.log_level);
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  std::stop_source stop;
  // Detached: it waits for a signal that may never come.
  std::thread([signals, stop]() mutable {
    int received = 0;
    sigwait(&signals, &received);
    ashlar::LogInfo("controller ends", {{"signal", received}});
    stop.request_stop();
  }).detach();
  if (absl::Status status = Run(flags, stop.get_token()); !status.ok()) {
    std::cerr << "ashlar-controller: " << status.message() << "\n";
    return 1;
  }
  return 0;
}
