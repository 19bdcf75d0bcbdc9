#include "csi/agent_extents.h"

#include <algorithm>
#include <tuple>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "lib/base/status_macros.h"
#include "lib/kube/core_kinds.h"
#include "lib/rpc/channel.h"
#include "lib/rpc/client_call.h"
#include "lib/rpc/tls_files.h"

namespace ashlar::csi_driver {
namespace {

constexpr char kAgentName[] = "ashlar-node-agent";
constexpr char kAgentPods[] = "app.kubernetes.io/component=node-agent";

// The container port named "agent", or 0.
int64_t AgentPort(const Json& pod) {
  const Json* containers = FindJson(pod, {"spec", "containers"});
  if (containers == nullptr || !containers->is_array()) return 0;
  for (const Json& container : *containers) {
    const Json* ports = FindJson(container, {"ports"});
    if (ports == nullptr || !ports->is_array()) continue;
    for (const Json& port : *ports)
      if (JsonString(port, {"name"}) == "agent") return JsonInt(port, {"containerPort"});
  }
  return 0;
}

}  // namespace

absl::StatusOr<std::string> AgentAddress(const std::vector<Json>& pods, const std::string& node) {
  std::tuple<bool, std::string, std::string> best;  // it stays, its age, its address
  for (const Json& pod : pods) {
    const std::string ip = JsonString(pod, {"status", "podIP"});
    const std::string phase = JsonString(pod, {"status", "phase"});
    const int64_t port = AgentPort(pod);
    if (JsonString(pod, {"spec", "nodeName"}) != node || ip.empty() || port == 0) continue;
    if (phase == "Failed" || phase == "Succeeded") continue;
    best = std::max(best,
                    std::make_tuple(JsonString(pod, {"metadata", "deletionTimestamp"}).empty(),
                                    JsonString(pod, {"metadata", "creationTimestamp"}),
                                    absl::StrContains(ip, ':') ? absl::StrCat("[", ip, "]:", port)
                                                               : absl::StrCat(ip, ":", port)));
  }
  const std::string& address = std::get<2>(best);
  if (address.empty()) return absl::UnavailableError(absl::StrCat("node ", node, " runs no agent"));
  return address;
}

absl::Status AgentExtents::List(const CallContext& context, const std::string& node,
                                const agent::v1::ListExtentsRequest& request, Receiver receive) {
  ASHLAR_ASSIGN_OR_RETURN(const kube::ListResult pods,
                          kube_.List(context, kube::kPod,
                                     {.space = space_,
                                      .label_selector = kAgentPods,
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
