// ashlar-node-agent: the privileged part of a node. Wiring only; see
// node-agent/service/agent_app.h.
#include <csignal>
#include <iostream>

#include "CLI/CLI.hpp"
#include "lib/base/heap.h"
#include "lib/base/log.h"
#include "node-agent/gpu/gpu_helper.h"
#include "node-agent/service/agent_app.h"

namespace {

void AddFlags(CLI::App& cli, ashlar::node_agent::AgentOptions& options, std::string& log_level,
              bool& print_inventory) {
  auto* node_name = cli.add_option("--node-name", options.node_name, "Name of this node");
  cli.add_flag("--print-inventory", print_inventory,
               "Print the drives and GPUs of this machine and why each drive is not free as JSON, "
               "and end; changes "
               "nothing and may run beside an agent");
  cli.callback([node_name, &print_inventory] {
    if (!print_inventory && node_name->empty()) throw CLI::RequiredError("--node-name");
  });
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
  cli.add_option(
      "--pool-directory", options.pool_directories,
      "Directory at or below which pools of the kind directory may lie; may be repeated; "
      "without it they may lie anywhere");
  cli.add_option("--cgroup-root", options.cgroup_root,
                 "Where the control groups of the node's pods are mounted, for limits of I/O")
      ->capture_default_str();
  cli.add_option("--pod-resources-socket", options.pod_resources_socket,
                 "Unix socket of the kubelet's PodResources API, which tells the GPUs of a pod")
      ->capture_default_str();
  cli.add_option(
         "--max-volumes", options.max_volumes,
         "How many volumes may be in use on this node at the same time, as the scheduler is "
         "told; 0: as many as the kernel has room for")
      ->capture_default_str();
  cli.add_option("--nvml-library", options.nvml_libraries,
                 "Name or path of NVIDIA's management library; may be repeated: the first that "
                 "there is counts")
      ->capture_default_str();
  cli.add_option("--nvidia-root", options.nvidia_root,
                 "Directory with the /dev and /proc/driver/nvidia of NVIDIA's driver, by the path "
                 "that the container runtime has it; empty: the system's own");
  cli.add_option("--sysfs-root", options.scanner.sys_root,
                 "Where sysfs is, for drives and GPUs and the way to them")
      ->capture_default_str();
  cli.add_option("--kubelet-dir", options.kubelet_dir,
                 "The kubelet's directory, by the path that the kubelet has it, for the DRA "
                 "drivers; empty: none");
  cli.add_option("--cdi-dir", options.cdi_dir,
                 "Where the container runtime looks for files of the Container Device Interface")
      ->capture_default_str();
  cli.add_option("--log-level", log_level, "debug, info, warning or error")
      ->check(CLI::IsMember({"debug", "info", "warning", "error"}))
      ->capture_default_str();
}

int Fail(const absl::Status& status) {
  std::cerr << "ashlar-node-agent: " << status.message() << "\n";
  return 1;
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
  if (ashlar::node_agent::IsGpuHelper(argc, argv)) return ashlar::node_agent::RunGpuHelper();
  ashlar::node_agent::AgentOptions options;
  options.gpu_helper = {"/proc/self/exe", ashlar::node_agent::kGpuHelperWord};
  std::string log_level = "info";
  CLI::App cli("Finds drives, carves volumes and mounts them on one node.", "ashlar-node-agent");
  bool print_inventory = false;
  AddFlags(cli, options, log_level, print_inventory);
  CLI11_PARSE(cli, argc, argv);
  ashlar::SetLogLevel(log_level);
  if (print_inventory) {
    const absl::StatusOr<std::string> json = ashlar::node_agent::DrivesAsJson(options);
    if (!json.ok()) return Fail(json.status());
    std::cout << *json;
    return 0;
  }
  const sigset_t signals = BlockSignals();
  auto agent = ashlar::node_agent::AgentApp::Start({}, options);
  if (!agent.ok()) return Fail(agent.status());
  int received = 0;
  sigwait(&signals, &received);
  ashlar::LogInfo("agent ends; volumes stay mounted", {{"signal", received}});
  (*agent)->Stop();
  return 0;
}
