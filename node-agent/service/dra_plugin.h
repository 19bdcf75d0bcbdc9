// DraPlugin: one DRA driver as the kubelet of this node knows it: preparing of claims (dra v1 and
// v1beta1) and the health of their devices (dra-health v1alpha1) on a socket below the kubelet's
// directory plugins, announced in its directory plugins_registry. See k8s.io/kubelet/pkg/apis.
// Thread-safe.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/kubelet/plugin_registration.h"
#include "lib/rpc/call_runner.h"
#include "lib/rpc/server.h"
#include "node-agent/claims/claims.h"
#include "node-agent/service/operation_metrics.h"
#include "node-agent/volume/inventory_feed.h"

namespace ashlar::node_agent {

struct DraPluginOptions {
  std::string driver;
  std::string kubelet_dir;  // the kubelet's own, by the same path as the kubelet has it
  // How long a call waits for what the controller has to tell: the kubelet gives a call 45 s, and
  // repeats one that failed.
  absl::Duration patience = absl::Seconds(20);
  // How often the health of all devices is told without news: the kubelet forgets it after 30 s.
  absl::Duration heartbeat = absl::Seconds(10);
};

// How a device is that claims of this node hold.
struct DeviceHealth {
  std::string pool, device;
  std::string problem;  // empty: it is healthy
  bool operator==(const DeviceHealth&) const = default;
};
// Of the driver's devices that are prepared, each once: what is wrong with one of those who share a
// device is wrong with the device.
std::vector<DeviceHealth> HealthOf(const std::vector<ClaimStatus>& claims,
                                   const std::string& driver);

class DraPlugin {
 public:
  // Serves and is announced when it returns. The rest must outlive it. Errors as
  // rpc::Server::Start.
  static absl::StatusOr<std::unique_ptr<DraPlugin>> Start(DraPluginOptions options, Claims& claims,
                                                          InventoryFeed& feed,
                                                          OperationMetrics& metrics, Clock& clock,
                                                          rpc::CallRunner& runner);
  ~DraPlugin();  // takes both sockets away: the kubelet then waits for the driver's return

 private:
  class V1;
  class V1Beta1;
  class Health;

  DraPlugin(DraPluginOptions options, Claims& claims, InventoryFeed& feed,
            OperationMetrics& metrics, Clock& clock, rpc::CallRunner& runner);
  // Both versions of the interface have the same messages; Api names one of them.
  template <class Api>
  typename Api::NodePrepareResourcesResponse Prepare(
      const CallContext& call, const typename Api::NodePrepareResourcesRequest& request);
  template <class Api>
  typename Api::NodeUnprepareResourcesResponse Unprepare(
      const CallContext& call, const typename Api::NodeUnprepareResourcesRequest& request);

  const DraPluginOptions options_;
  Claims& claims_;
  InventoryFeed& feed_;
  OperationMetrics& metrics_;
  Clock& clock_;
  rpc::CallRunner& runner_;
  const std::unique_ptr<V1> v1_;
  const std::unique_ptr<V1Beta1> v1beta1_;
  const std::unique_ptr<Health> health_;
  std::unique_ptr<rpc::Server> server_;
  std::unique_ptr<kubelet::PluginRegistration> registration_;
};

}  // namespace ashlar::node_agent
