#include "cmd/ashlar/plugin_commands.h"

#include <cstdlib>
#include <iostream>
#include <memory>

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

absl::StatusOr<std::unique_ptr<kube::Client>> Connect(const PluginOptions& options, Clock& clock) {
  ASHLAR_ASSIGN_OR_RETURN(const kube::Connection connection,
                          kube::LoadKubeconfig(PathOfKubeconfig(options), options.context));
  ASHLAR_ASSIGN_OR_RETURN(
      auto client, kube::MakeHttpClient(connection, clock, {.user_agent = "kubectl-ashlar"}));
  return client;
}

absl::Status Print(const absl::StatusOr<std::string>& text) {
  if (text.ok()) std::cout << *text;
  return text.status();
}

}  // namespace

absl::Status ShowTopology(const PluginOptions& options, const std::vector<std::string>& nodes,
                          Clock& clock) {
  ASHLAR_ASSIGN_OR_RETURN(const auto client, Connect(options, clock));
  return Print(kubectl::Topology({}, *client, nodes));
}

absl::Status Compose(const PluginOptions& options, const kubectl::ComposeRequest& request,
                     Clock& clock) {
  ASHLAR_ASSIGN_OR_RETURN(const auto client, Connect(options, clock));
  return Print(kubectl::Compose({}, *client, request));
}

absl::Status Free(const PluginOptions& options, const std::string& space,
                  const std::vector<std::string>& names, Clock& clock) {
  ASHLAR_ASSIGN_OR_RETURN(const auto client, Connect(options, clock));
  return Print(kubectl::Free({}, *client, space, names));
}

absl::Status Explain(const PluginOptions& options, const api::ObjectKey& key, Clock& clock) {
  ASHLAR_ASSIGN_OR_RETURN(const auto client, Connect(options, clock));
  return Print(kubectl::Explain({}, *client, key));
}

}  // namespace ashlar::standalone
