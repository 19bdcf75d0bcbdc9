// ApiServer: a Kubernetes-compatible API in this process, over HTTPS, kept in one SQLite file. What
// it serves: the kinds in kinds/, CustomResourceDefinitions and everything that they define.
// Thread-safe.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/base/clock.h"
#include "lib/base/json.h"

namespace ashlar::standalone {

struct ApiServerOptions {
  std::string database;  // path of the SQLite file; made if absent
  std::string address = "127.0.0.1";
  int port = 0;          // 0: any free one
  std::string cert_pem;  // empty: plain HTTP, for tests
  std::string key_pem;
  std::string token;  // the one bearer token
  // Namespaces that are made if absent.
  std::vector<std::string> namespaces = {"default", "kube-system"};
  // Definitions that are applied at the start.
  std::vector<Json> definitions;
  int workers = 8;
  size_t history = 16384;  // how many events a watch can go back
};

class ApiServer {
 public:
  // Serves when it returns. Unavailable: the port or the database is taken; DataLoss: the database
  // is damaged; InvalidArgument: a definition or a PEM text cannot be used.
  static absl::StatusOr<std::unique_ptr<ApiServer>> Start(ApiServerOptions options, Clock& clock);
  // Ends watches, finishes requests and closes the database.
  virtual ~ApiServer() = default;

  virtual int port() const = 0;
  // https://127.0.0.1:port
  virtual std::string url() const = 0;
};

}  // namespace ashlar::standalone
