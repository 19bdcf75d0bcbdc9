#include "lib/kube/connection.h"

#include <cstdlib>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "lib/base/status_macros.h"
#include "lib/kube/read_file.h"

namespace ashlar::kube {

PodEnvironment ReadPodEnvironment() {
  auto variable = [](const char* name) {
    const char* value = std::getenv(name);
    return std::string(value == nullptr ? "" : value);
  };
  return {.host = variable("KUBERNETES_SERVICE_HOST"), .port = variable("KUBERNETES_SERVICE_PORT")};
}

absl::StatusOr<Connection> InClusterConnection(const PodEnvironment& environment) {
  if (environment.host.empty() || environment.port.empty())
    return absl::FailedPreconditionError(
        "not in a pod: KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set");
  Connection made;
  made.token_file = environment.directory + "/token";
  auto missing = [](const absl::Status& status) {
    return absl::FailedPreconditionError(
        absl::StrCat("the pod has no usable service account: ", status.message()));
  };
  const auto token = ReadFile(made.token_file);
  if (!token.ok()) return missing(token.status());
  auto ca = ReadFile(environment.directory + "/ca.crt");
  if (!ca.ok()) return missing(ca.status());
  made.http.ca_pem = *std::move(ca);
  const auto space = ReadFile(environment.directory + "/namespace");
  if (space.ok()) made.space = std::string(absl::StripAsciiWhitespace(*space));
  const bool v6 = environment.host.find(':') != std::string::npos;
  made.http.base_url = absl::StrCat("https://", v6 ? "[" : "", environment.host, v6 ? "]" : "", ":",
                                    environment.port);
  // The HTTP library cannot check an IPv6 address; every API server's certificate bears this name.
  if (v6) made.http.server_name = "kubernetes.default.svc";
  return made;
}

absl::StatusOr<Connection> FindConnection(const std::string& kubeconfig) {
  if (!kubeconfig.empty()) return LoadKubeconfig(kubeconfig);
  auto made = InClusterConnection(ReadPodEnvironment());
  if (made.ok()) return made;
  return absl::FailedPreconditionError(absl::StrCat(
      "no way to the Kubernetes API: --kubeconfig is not set and ", made.status().message()));
}

}  // namespace ashlar::kube
