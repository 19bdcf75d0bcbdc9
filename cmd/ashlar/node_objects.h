// The objects by which the controller finds the agent of this process: a Node, and a Pod in the
// namespace ashlar-system. No state.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "lib/base/call_context.h"
#include "lib/base/clock.h"
#include "lib/kube/client.h"

namespace ashlar::standalone {

inline constexpr char kSystemNamespace[] = "ashlar-system";

struct NodeFacts {
  std::string name;
  std::string address;  // where the agent listens
  int agent_port = 0;
};

// Writes both, whatever was there before.
absl::Status RegisterNode(const CallContext& context, kube::Client& client, const Clock& clock,
                          const NodeFacts& facts);

// The host's name as a node name: lower case, without what such names cannot have.
std::string HostNodeName();

}  // namespace ashlar::standalone
