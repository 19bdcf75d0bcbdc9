// AgentMount: what the node service asks of the agent of its own node; the NodeMount service of
// proto/ashlar/agent/v1 over its unix socket. Thread-safe. Unavailable: the agent can't be reached;
// a restart of it is waited for, up to the context's deadline.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "ashlar/agent/v1/node_mount.grpc.pb.h"
#include "lib/base/clock.h"
#include "lib/rpc/client_call.h"

namespace ashlar::csi_driver {

class AgentMount {
 public:
  // `socket` such as unix:///run/ashlar/node-mount.sock or the path alone.
  AgentMount(const std::string& socket, Clock& clock);

  // Any method of NodeMount: Call(context, &Stub::StageVolume, request).
  using Stub = agent::v1::NodeMount::Stub;
  template <class Request, class Response>
  absl::StatusOr<Response> Call(const CallContext& context,
                                grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&,
                                                             Response*),
                                const Request& request) {
    const CallContext bounded = Bounded(context);
    // An agent that goes away in the middle of a call breaks it, and the next one waits for its
    // return. Every call of NodeMount may be repeated.
    for (int repeats = kRepeats;; --repeats) {
      absl::StatusOr<Response> answer =
          rpc::Call(bounded, *stub_, method, request, rpc::WhenAway::kWait);
      if (!absl::IsUnavailable(answer.status()) || repeats == 0) return Explain(std::move(answer));
    }
  }

  // Answers at once whether the agent is there.
  absl::StatusOr<agent::v1::GetNodeResponse> GetNode(const CallContext& context);

 private:
  static constexpr int kRepeats = 2;
  CallContext Bounded(const CallContext& context) const;
  absl::Status Name(const absl::Status& status) const;
  template <class Response>
  absl::StatusOr<Response> Explain(absl::StatusOr<Response> answer) const {
    if (!answer.ok()) return Name(answer.status());
    return answer;
  }

  const std::string socket_;
  Clock& clock_;
  const std::unique_ptr<Stub> stub_;
};

}  // namespace ashlar::csi_driver
