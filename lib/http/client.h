// An HTTP/1.1 client for one server, with TLS. Together with server.h the only door to cpprestsdk.
// Thread-safe.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "lib/base/call_context.h"

namespace ashlar::http {

using Headers = std::map<std::string, std::string>;

struct Request {
  std::string method = "GET";
  std::string target;  // path and query, encoded: /api/v1/pods?limit=500
  Headers headers;
  std::string body;
};

struct Response {
  int status = 0;
  Headers headers;  // names in lower case
  std::string body;
};

struct ClientOptions {
  std::string base_url;         // https://10.0.0.1:6443
  std::string ca_pem;           // trust anchors; empty: the system's
  std::string client_cert_pem;  // with its chain; empty: no client certificate
  std::string client_key_pem;
  std::string server_name;  // checked in the certificate instead of the URL's host, if set
  bool insecure_skip_verify = false;
};

class Client {
 public:
  virtual ~Client() = default;

  // Any answer of the server, whatever its status, is a Response. Unavailable: no connection, or it
  // broke; DeadlineExceeded and Cancelled as the context says.
  virtual absl::StatusOr<Response> Send(const CallContext& context, const Request& request) = 0;

  // Sends, then hands over each line of the body as it arrives, without its newline, until the
  // server ends the body (OK), `line` answers an error (which is returned), or the context ends. An
  // answer other than 200 is given to `refused` whole.
  virtual absl::Status StreamLines(const CallContext& context, const Request& request,
                                   absl::FunctionRef<absl::Status(absl::string_view line)> line,
                                   absl::FunctionRef<absl::Status(const Response&)> refused) = 0;
};

// InvalidArgument if the URL or a PEM text cannot be used.
absl::StatusOr<std::unique_ptr<Client>> MakeClient(ClientOptions options);

}  // namespace ashlar::http
