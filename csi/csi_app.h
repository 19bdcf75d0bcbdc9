// CsiApp: the CSI driver of one process: its services on a unix socket, and what they need behind
// it. cmd/ashlar-csi and `ashlar standalone` wire the same object. Thread-safe.
#pragma once

#include <memory>
#include <string>
#include <thread>

#include "absl/status/statusor.h"
#include "csi/agent_extents.h"
#include "csi/services.h"
#include "lib/base/clock.h"
#include "lib/kube/client.h"
#include "lib/kubelet/plugin_registration.h"
#include "lib/metrics/metrics.h"

namespace ashlar::csi_driver {

struct CsiOptions {
  Mode mode = Mode::kAll;
  std::string endpoint;  // unix:///csi/csi.sock
  std::string version;
  // Modes node and all: the agent's socket, and what the node says of itself.
  std::string agent_socket;
  NodeOptions node;
  // Modes controller and all: certificates for connections to agents (lib/rpc/tls_files.h), and the
  // namespace of the agents' pods. Empty: the service SnapshotMetadata is not served.
  std::string agent_tls_directory;
  std::string agent_space;
  // Modes node and all, where there is a kubelet: see PluginRegistrationOptions. Empty: no
  // registration.
  std::string registration_directory;
  std::string kubelet_endpoint;
};

// controller, node or all. InvalidArgument names what is accepted.
absl::StatusOr<Mode> ParseMode(absl::string_view text);

class CsiApp {
 public:
  // Serves when it returns. `kube` is needed by the modes controller and all, and nullptr for node.
  // All three must outlive the app. Errors: InvalidArgument for options, and those of
  // rpc::Server::Start.
  static absl::StatusOr<std::unique_ptr<CsiApp>> Start(CsiOptions options, Clock& clock,
                                                       metrics::Registry& registry,
                                                       kube::Client* kube);
  // Ends calls that run after a second, then everything else.
  ~CsiApp();

  // OK if calls can succeed: the objects have been read (controller), the agent answered within the
  // last seconds and the kubelet knows the driver (node). Never blocks.
  absl::Status Ready() const;

 private:
  // Each half lives only in the modes that need it.
  struct ControllerHalf;
  struct NodeHalf;
  struct MetadataPart;

  CsiApp(CsiOptions options, Clock& clock, metrics::Registry& registry, kube::Client* kube,
         AgentExtents::Dial dial);
  absl::Status Serve();

  const CsiOptions options_;
  Clock& clock_;
  std::unique_ptr<rpc::CallRunner> runner_;
  std::unique_ptr<ControllerHalf> controller_;
  std::unique_ptr<NodeHalf> node_;
  std::unique_ptr<MetadataPart> metadata_;
  std::unique_ptr<IdentityService> identity_;
  std::unique_ptr<rpc::Server> server_;
  std::unique_ptr<kubelet::PluginRegistration> registration_;
};

}  // namespace ashlar::csi_driver
