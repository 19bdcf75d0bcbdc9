// The kubeconfig format: clientcmd/api/v1 of client-go.
#include <filesystem>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "lib/base/json.h"
#include "lib/base/status_macros.h"
#include "lib/kube/connection.h"
#include "lib/kube/read_file.h"
#include "lib/yaml/yaml.h"

namespace ashlar::kube {
namespace {

// The `member` of the entry of `list` that has the name, such as the cluster of clusters[name].
absl::StatusOr<Json> FindEntry(const Json& config, const char* list, const char* member,
                               const std::string& name) {
  const Json* entries = FindJson(config, {list});
  if (entries != nullptr && entries->is_array()) {
    for (const Json& entry : *entries) {
      if (JsonString(entry, {"name"}) != name) continue;
      const Json* found = FindJson(entry, {member});
      if (found != nullptr && found->is_object()) return *found;
      return Json::object();
    }
  }
  return absl::InvalidArgumentError(
      absl::StrCat("kubeconfig: ", list, " has no entry \"", name, "\""));
}

std::string Resolve(const std::string& path, const std::string& directory) {
  if (path.empty() || std::filesystem::path(path).is_absolute()) return path;
  return (std::filesystem::path(directory) / path).string();
}

// The text in `key`-data (base64), or in the file that `key` names; empty if neither is there.
absl::StatusOr<std::string> DataOrFile(const Json& entry, const std::string& key,
                                       const std::string& directory) {
  const std::string data = JsonString(entry, {absl::StrCat(key, "-data")});
  std::string decoded;
  if (!data.empty()) {
    if (!absl::Base64Unescape(data, &decoded))
      return absl::InvalidArgumentError(absl::StrCat("kubeconfig: ", key, "-data is not base64"));
    return decoded;
  }
  const std::string file = Resolve(JsonString(entry, {key}), directory);
  if (file.empty()) return decoded;
  auto text = ReadFile(file);
  if (!text.ok())
    return absl::InvalidArgumentError(
        absl::StrCat("kubeconfig: ", key, ": ", text.status().message()));
  return text;
}

absl::Status RefuseUnsupported(const Json& cluster, const Json& user) {
  struct Refusal {
    const char* key;
    const char* instead;
  };
  for (const Refusal& refusal :
       {Refusal{"exec",
                "credential plugins are not run; use a service account token or a client "
                "certificate"},
        Refusal{"auth-provider", "use a service account token or a client certificate"},
        Refusal{"username",
                "passwords are not supported by Kubernetes any more; use a token or a "
                "client certificate"},
        Refusal{"as", "impersonation is not supported"}}) {
    if (user.contains(refusal.key))
      return absl::InvalidArgumentError(absl::StrCat("kubeconfig: user entry has ", refusal.key,
                                                     ", which is refused: ", refusal.instead));
  }
  if (!JsonString(cluster, {"proxy-url"}).empty())
    return absl::InvalidArgumentError("kubeconfig: proxy-url is not supported");
  return absl::OkStatus();
}

absl::Status ReadCluster(const Json& cluster, const std::string& directory, Connection& made) {
  made.http.base_url = JsonString(cluster, {"server"});
  while (!made.http.base_url.empty() && made.http.base_url.back() == '/')
    made.http.base_url.pop_back();
  if (made.http.base_url.empty())
    return absl::InvalidArgumentError("kubeconfig: the cluster entry has no server");
  made.http.server_name = JsonString(cluster, {"tls-server-name"});
  const Json* insecure = FindJson(cluster, {"insecure-skip-tls-verify"});
  made.http.insecure_skip_verify = insecure != nullptr && *insecure == true;
  ASHLAR_ASSIGN_OR_RETURN(made.http.ca_pem,
                          DataOrFile(cluster, "certificate-authority", directory));
  if (made.http.insecure_skip_verify && !made.http.ca_pem.empty())
    return absl::InvalidArgumentError(
        "kubeconfig: insecure-skip-tls-verify and certificate-authority exclude each other");
  return absl::OkStatus();
}

absl::Status ReadUser(const Json& user, const std::string& directory, Connection& made) {
  made.token = JsonString(user, {"token"});
  made.token_file = Resolve(JsonString(user, {"tokenFile"}), directory);
  ASHLAR_ASSIGN_OR_RETURN(made.http.client_cert_pem,
                          DataOrFile(user, "client-certificate", directory));
  ASHLAR_ASSIGN_OR_RETURN(made.http.client_key_pem, DataOrFile(user, "client-key", directory));
  if (made.http.client_cert_pem.empty() != made.http.client_key_pem.empty())
    return absl::InvalidArgumentError(
        "kubeconfig: client-certificate and client-key are needed together");
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Connection> ParseKubeconfig(absl::string_view text, const std::string& directory,
                                           absl::string_view context_name) {
  auto config = ParseYaml(text);
  if (!config.ok()) return Annotate(config.status(), "kubeconfig");
  std::string name(context_name);
  if (name.empty()) name = JsonString(*config, {"current-context"});
  if (name.empty())
    return absl::InvalidArgumentError("kubeconfig: no current-context, and no context was named");
  ASHLAR_ASSIGN_OR_RETURN(const Json context, FindEntry(*config, "contexts", "context", name));
  ASHLAR_ASSIGN_OR_RETURN(const Json cluster, FindEntry(*config, "clusters", "cluster",
                                                        JsonString(context, {"cluster"})));
  Json user = Json::object();
  if (const std::string user_name = JsonString(context, {"user"}); !user_name.empty()) {
    ASHLAR_ASSIGN_OR_RETURN(user, FindEntry(*config, "users", "user", user_name));
  }
  ASHLAR_RETURN_IF_ERROR(RefuseUnsupported(cluster, user));
  Connection made;
  made.space = JsonString(context, {"namespace"});
  ASHLAR_RETURN_IF_ERROR(ReadCluster(cluster, directory, made));
  ASHLAR_RETURN_IF_ERROR(ReadUser(user, directory, made));
  return made;
}

absl::StatusOr<Connection> LoadKubeconfig(const std::string& path, absl::string_view context) {
  ASHLAR_ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  auto made = ParseKubeconfig(text, std::filesystem::path(path).parent_path().string(), context);
  if (!made.ok()) return Annotate(made.status(), path);
  return made;
}

}  // namespace ashlar::kube
