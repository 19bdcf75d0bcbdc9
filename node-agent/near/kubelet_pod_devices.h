// KubeletPodDevices: asks the kubelet of this node, by its PodResources API (k8s.io/kubelet
// podresources/v1) over a unix socket. Thread-safe.
#pragma once

#include <memory>

#include "lib/base/clock.h"
#include "node-agent/near/pod_devices.h"
#include "podresources/v1/api.grpc.pb.h"

namespace ashlar::node_agent {

// How long the kubelet is waited for, at most: a pod waits meanwhile.
constexpr absl::Duration kKubeletTime = absl::Seconds(3);

class KubeletPodDevices final : public PodDevices {
 public:
  // The socket need not be there yet. `clock` must outlive it.
  KubeletPodDevices(std::string socket, Clock& clock);
  absl::StatusOr<std::vector<PodDevice>> Find(const CallContext& context,
                                              const PodId& pod) override;

 private:
  const std::string socket_;
  Clock& clock_;
  const std::unique_ptr<::v1::PodResourcesLister::Stub> stub_;
};

}  // namespace ashlar::node_agent
