// `kubectl ashlar topology`: what the API knows of the nodes' devices, drawn.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/base/call_context.h"
#include "lib/kube/client.h"

namespace ashlar::kubectl {

// Of these nodes in this order, of all by name if there are none. NotFound names the nodes that
// have no NodeInventory and those that have one. What the API cannot be asked for comes as it is.
absl::StatusOr<std::string> Topology(const CallContext& context, kube::Client& client,
                                     const std::vector<std::string>& nodes);

}  // namespace ashlar::kubectl
