// What `ashlar`, as kubectl-ashlar, shows of a cluster: calls of the Kubernetes API with a user's
// own kubeconfig.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "lib/base/clock.h"

namespace ashlar::standalone {

struct PluginOptions {
  std::string kubeconfig;  // empty: $KUBECONFIG, else ~/.kube/config
  std::string context;     // empty: the current one
};

// Prints how the devices of these nodes, or of all, lie to one another.
absl::Status ShowTopology(const PluginOptions& options, const std::vector<std::string>& nodes,
                          Clock& clock);

}  // namespace ashlar::standalone
