// Connection: where an API server is and what to show it, from a kubeconfig file or from the
// service account of a pod. Values and functions without state; files are read once, except for a
// token file, which TokenSource reads again.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "lib/http/client.h"

namespace ashlar::kube {

struct Connection {
  http::ClientOptions http;
  std::string token;       // bearer token; empty: none
  std::string token_file;  // read again as it changes; wins over `token`
  std::string space;       // the namespace of the context or of the pod; may be empty
};

// The current context of the kubeconfig file at `path`, or `context` if it is named. File names in
// it are relative to its folder. NotFound: no such file. InvalidArgument names what is wrong or not
// supported (exec, auth-provider, username, impersonation, proxy-url).
absl::StatusOr<Connection> LoadKubeconfig(const std::string& path, absl::string_view context = "");

// The same from its text; `directory` is what file names are relative to.
absl::StatusOr<Connection> ParseKubeconfig(absl::string_view text, const std::string& directory,
                                           absl::string_view context = "");

// What the kubelet gives every pod: variables of the environment and a folder of files.
struct PodEnvironment {
  std::string host;  // KUBERNETES_SERVICE_HOST
  std::string port;  // KUBERNETES_SERVICE_PORT
  std::string directory = "/var/run/secrets/kubernetes.io/serviceaccount";
};
PodEnvironment ReadPodEnvironment();

// FailedPrecondition: this is not a pod with a service account; the message says what is missing.
absl::StatusOr<Connection> InClusterConnection(const PodEnvironment& environment);

// `kubeconfig` if it is not empty, else the pod's service account.
absl::StatusOr<Connection> FindConnection(const std::string& kubeconfig);

}  // namespace ashlar::kube
