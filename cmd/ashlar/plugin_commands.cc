#include "cmd/ashlar/plugin_commands.h"

#include <cstdlib>
#include <iostream>

#include "absl/strings/str_cat.h"
#include "kubectl/topology.h"
#include "lib/base/status_macros.h"
#include "lib/kube/http_client.h"

namespace ashlar::standalone {
namespace {

std::string PathOfKubeconfig(const PluginOptions& options) {
  if (!options.kubeconfig.empty()) return options.kubeconfig;
  const char* named = std::getenv("KUBECONFIG");
  if (named != nullptr && *named != '\0') return named;
  const char* home = std::getenv("HOME");
  return absl::StrCat(home == nullptr ? "" : home, "/.kube/config");
}

}  // namespace

absl::Status ShowTopology(const PluginOptions& options, const std::vector<std::string>& nodes,
                          Clock& clock) {
  ASHLAR_ASSIGN_OR_RETURN(const kube::Connection connection,
                          kube::LoadKubeconfig(PathOfKubeconfig(options), options.context));
  ASHLAR_ASSIGN_OR_RETURN(
      const auto client, kube::MakeHttpClient(connection, clock, {.user_agent = "kubectl-ashlar"}));
  ASHLAR_ASSIGN_OR_RETURN(const std::string drawn, kubectl::Topology({}, *client, nodes));
  std::cout << drawn;
  return absl::OkStatus();
}

}  // namespace ashlar::standalone
