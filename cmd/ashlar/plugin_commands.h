// What `ashlar`, as kubectl-ashlar, shows of a cluster: calls of the Kubernetes API with a user's
// own kubeconfig.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "kubectl/composition.h"
#include "lib/base/clock.h"

namespace ashlar::standalone {

struct PluginOptions {
  std::string kubeconfig;  // empty: $KUBECONFIG, else ~/.kube/config
  std::string context;     // empty: the current one
};

// Prints how the devices of these nodes, or of all, lie to one another.
absl::Status ShowTopology(const PluginOptions& options, const std::vector<std::string>& nodes,
                          Clock& clock);

// Asks for a Composition, gives some back, or says how one is; prints the answer.
absl::Status Compose(const PluginOptions& options, const kubectl::ComposeRequest& request,
                     Clock& clock);
absl::Status Free(const PluginOptions& options, const std::string& space,
                  const std::vector<std::string>& names, Clock& clock);
absl::Status Explain(const PluginOptions& options, const api::ObjectKey& key, Clock& clock);

}  // namespace ashlar::standalone
