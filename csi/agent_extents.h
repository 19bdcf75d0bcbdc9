// AgentExtents: asks the agent of any node which bytes of its snapshots were written or differ;
// ListExtents of proto/ashlar/agent/v1. It is the one call that CSI's controller service makes to
// agents: the answer may have millions of entries, which the Kubernetes API cannot carry. The agent
// is found by its pod, as the controller finds it. Thread-safe.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "ashlar/agent/v1/node_agent.grpc.pb.h"
#include "csi/snapshot_metadata.h"
#include "lib/base/json.h"
#include "lib/kube/client.h"

namespace ashlar::csi_driver {

// host:port of the agent of the node, told by the pods of agents: of several (while one is
// replaced) the youngest that is not being deleted. Unavailable, with the node, if there is none.
absl::StatusOr<std::string> AgentAddress(const std::vector<Json>& pods, const std::string& node);

class AgentExtents final : public ExtentSource {
 public:
  using Dial = std::function<std::shared_ptr<grpc::Channel>(const std::string& address)>;

  // `kube` must outlive this object. The agents' pods are those of the namespace `space`.
  AgentExtents(kube::Client& kube, std::string space, Dial dial)
      : kube_(kube), space_(std::move(space)), dial_(std::move(dial)) {}

  // Errors of the agent are passed on; Unavailable names the node.
  absl::Status List(const CallContext& context, const std::string& node,
                    const agent::v1::ListExtentsRequest& request, Receiver receive) override;

 private:
  kube::Client& kube_;
  const std::string space_;
  const Dial dial_;
};

// Mutual TLS with the certificates of `tls_directory` (lib/rpc/tls_files.h).
absl::StatusOr<AgentExtents::Dial> DialWithTls(const std::string& tls_directory);

}  // namespace ashlar::csi_driver
