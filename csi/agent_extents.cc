#include "csi/agent_extents.h"

#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "lib/agents/agent_pod.h"
#include "lib/base/status_macros.h"
#include "lib/kube/core_kinds.h"
#include "lib/rpc/channel.h"
#include "lib/rpc/client_call.h"
#include "lib/rpc/tls_files.h"

namespace ashlar::csi_driver {

absl::StatusOr<std::string> AgentAddress(const std::vector<Json>& pods, const std::string& node) {
  std::optional<AgentPod> best;
  const auto rank = [](const AgentPod& pod) { return std::make_pair(!pod.leaving, pod.created); };
  for (const Json& pod : pods) {
    std::optional<AgentPod> agent = ReadAgentPod(pod);
    if (!agent || agent->node != node) continue;
    if (!best || rank(*best) < rank(*agent)) best = std::move(agent);
  }
  if (!best) return absl::UnavailableError(absl::StrCat("node ", node, " runs no agent"));
  return best->address;
}

absl::Status AgentExtents::List(const CallContext& context, const std::string& node,
                                const agent::v1::ListExtentsRequest& request, Receiver receive) {
  ASHLAR_ASSIGN_OR_RETURN(const kube::ListResult pods,
                          kube_.List(context, kube::kPod,
                                     {.space = space_,
                                      .label_selector = kAgentPodSelector,
                                      .field_selector = absl::StrCat("spec.nodeName=", node)}));
  ASHLAR_ASSIGN_OR_RETURN(const std::string address, AgentAddress(pods.items, node));
  const auto stub = agent::v1::NodeAgent::NewStub(dial_(address));
  rpc::ClientCall call(context);
  const auto stream = stub->ListExtents(call.get(), request);
  agent::v1::Extents extents;
  while (stream->Read(&extents)) {
    const absl::Status taken = receive(extents);
    if (taken.ok()) continue;
    call.get()->TryCancel();
    while (stream->Read(&extents)) continue;
    stream->Finish();
    return taken;
  }
  const absl::Status status = rpc::FromGrpc(stream->Finish());
  if (!absl::IsUnavailable(status)) return status;
  return absl::UnavailableError(
      absl::StrCat("the agent of node ", node, " does not answer: ", status.message()));
}

absl::StatusOr<AgentExtents::Dial> DialWithTls(const std::string& tls_directory) {
  ASHLAR_ASSIGN_OR_RETURN(
      std::shared_ptr<grpc::ChannelCredentials> credentials,
      rpc::MakeChannelCredentials({.directory = tls_directory, .peer_name = kAgentName}));
  return AgentExtents::Dial([credentials](const std::string& address) {
    return rpc::MakeTlsChannel(address, credentials, kAgentName);
  });
}

}  // namespace ashlar::csi_driver
