#include "csi/agent_mount.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "lib/rpc/channel.h"

namespace ashlar::csi_driver {
namespace {

std::string Address(const std::string& socket) {
  return absl::StartsWith(socket, "unix:") ? socket : absl::StrCat("unix://", socket);
}

}  // namespace

AgentMount::AgentMount(const std::string& socket, Clock& clock)
    : socket_(Address(socket)),
      clock_(clock),
      stub_(agent::v1::NodeMount::NewStub(rpc::MakeUnixChannel(socket_))) {}

absl::StatusOr<agent::v1::GetNodeResponse> AgentMount::GetNode(const CallContext& context) {
  return Explain(rpc::Call(context.Until(clock_.Now() + absl::Seconds(5)), *stub_, &Stub::GetNode,
                           agent::v1::GetNodeRequest()));
}

CallContext AgentMount::Bounded(const CallContext& context) const {
  // Without a deadline of the caller's a call to an agent that never returns would wait for ever.
  return context.Until(clock_.Now() + absl::Minutes(2));
}

absl::Status AgentMount::Name(const absl::Status& status) const {
  if (!absl::IsUnavailable(status)) return status;
  return absl::UnavailableError(
      absl::StrCat("the node agent at ", socket_, " does not answer: ", status.message()));
}

}  // namespace ashlar::csi_driver
