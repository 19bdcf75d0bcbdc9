// AgentApp: the whole node agent, wired; used by its program and by `ashlar standalone`.
// Thread-safe after Start.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/base/call_context.h"
#include "node-agent/inventory/drive_scanner.h"

namespace ashlar::node_agent {

struct AgentOptions {
  std::string node_name;
  std::string state_dir = "/var/lib/ashlar";
  // NodeAgent: host:port with mutual TLS from tls_dir, or unix:///path without.
  std::string listen = "0.0.0.0:9500";
  std::string tls_dir;
  // Path of the unix socket of NodeMount. Its directory is made if absent.
  std::string mount_socket = "/run/ashlar/node-mount.sock";
  std::string ops_address = "0.0.0.0:9501";  // empty: no metrics and health over HTTP
  // Directories below which volumes may be mounted.
  std::vector<std::string> publish_roots = {"/var/lib/kubelet"};
  // Directories at or below which pools of the kind directory may lie. Empty: anywhere.
  std::vector<std::string> pool_directories;
  // Where the control groups of the machine's pods are mounted.
  std::string cgroup_root = "/sys/fs/cgroup";
  // Where the kubelet serves its PodResources API. Nobody need listen there.
  std::string pod_resources_socket = "/var/lib/kubelet/pod-resources/kubelet.sock";
  // How many volumes may be in use on the node at the same time, as the scheduler is told; 0: as
  // many as the kernel has room for (volume_limit.h).
  int64_t max_volumes = 0;
  // The program that calls the GPUs' driver (gpu/gpu_helper.h), with its arguments. Empty: GPUs are
  // not looked for.
  std::vector<std::string> gpu_helper;
  // Names or paths of NVIDIA's NVML; the first that there is counts.
  std::vector<std::string> nvml_libraries = {"libnvidia-ml.so.1"};
  // Directory with the /dev of NVIDIA's driver and its /proc/driver/nvidia, by the path that the
  // container runtime has it. Empty: the system's own.
  std::string nvidia_root;
  // The kubelet's directory, for the DRA drivers; it has the same path for the kubelet. Empty:
  // there is no kubelet that claims devices.
  std::string kubelet_dir;
  // Where the container runtime looks for what devices of claims are.
  std::string cdi_dir = "/var/run/cdi";
  DriveScannerOptions scanner;
};

class AgentApp {
 public:
  virtual ~AgentApp() = default;  // as Stop
  // Recovers what an earlier process left, then serves; both sockets accept when it returns. Until
  // then /readyz says what it is doing.
  // InvalidArgument: an option; FailedPrecondition: the state directory belongs to a running agent.
  static absl::StatusOr<std::unique_ptr<AgentApp>> Start(const CallContext& context,
                                                         const AgentOptions& options);
  // Ends calls and threads. Volumes stay mounted.
  virtual void Stop() = 0;
  virtual int port() const = 0;      // of NodeAgent; 0 on a unix socket
  virtual int ops_port() const = 0;  // 0 without
};

// The drives and GPUs of this machine as JSON of an Inventory, for people who look into a node: who
// each drive is, and why it is not free. Without pools and volumes, so that it changes nothing and
// may run beside an agent. Loop devices are left out.
absl::StatusOr<std::string> DrivesAsJson(const AgentOptions& options);

}  // namespace ashlar::node_agent
