// ashlar-node-agent: the privileged part of a node. Wiring only; see
// node-agent/service/agent_app.h.
#include <csignal>
#include <iostream>

#include "CLI/CLI.hpp"
#include "lib/base/heap.h"
#include "lib/base/log.h"
#include "node-agent/service/agent_app.h"

namespace {

void AddFlags(CLI::App& cli, ashlar::node_agent::AgentOptions& options, std::string& log_level) {
  cli.add_option("--node-name", options.node_name, "Name of this node")->required();
  cli.add_option("--state-dir", options.state_dir,
                 "Directory of the journal and of the mount points of pools")
      ->capture_default_str();
  cli.add_option("--listen", options.listen,
                 "Where the controller finds the NodeAgent service: host:port (mutual TLS) or "
                 "unix:///path")
      ->capture_default_str();
  cli.add_option("--tls-dir", options.tls_dir,
                 "Directory with ca.crt, tls.crt and tls.key; reread when they change");
  cli.add_option("--mount-socket", options.mount_socket, "Unix socket of the NodeMount service")
      ->capture_default_str();
  cli.add_option("--ops-address", options.ops_address,
                 "host:port of /metrics, /healthz and /readyz; empty for none")
      ->capture_default_str();
  cli.add_option("--publish-root", options.publish_roots,
                 "Directory below which volumes may be mounted; may be repeated")
      ->capture_default_str();
  cli.add_option("--log-level", log_level, "debug, info, warning or error")
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

}  // namespace

int main(int argc, char** argv) {
  ashlar::LimitHeap();
  ashlar::node_agent::AgentOptions options;
  std::string log_level = "info";
  CLI::App cli("Finds drives, carves volumes and mounts them on one node.", "ashlar-node-agent");
  AddFlags(cli, options, log_level);
  CLI11_PARSE(cli, argc, argv);
  ashlar::SetLogLevel(log_level);
  const sigset_t signals = BlockSignals();
  auto agent = ashlar::node_agent::AgentApp::Start({}, options);
  if (!agent.ok()) {
    std::cerr << "ashlar-node-agent: " << agent.status().message() << "\n";
    return 1;
  }
  int received = 0;
  sigwait(&signals, &received);
  ashlar::LogInfo("agent ends; volumes stay mounted", {{"signal", received}});
  (*agent)->Stop();
  return 0;
}
