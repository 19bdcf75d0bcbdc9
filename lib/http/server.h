// An HTTP/1.1 server, with or without TLS. Together with client.h the only door to cpprestsdk.
// Thread-safe.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "lib/http/client.h"

namespace ashlar::http {

// The answer to one request: either one Send, or Start, then Write until it says false or the
// answer is done, then the object is destroyed, which ends the body. Usable from any thread, also
// after the handler has returned.
class ResponseWriter {
 public:
  virtual ~ResponseWriter() = default;
  virtual void Send(Response response) = 0;
  virtual void Start(int status, Headers headers) = 0;
  // Sends the bytes now. False: the client has gone away; nothing more will be sent.
  virtual bool Write(absl::string_view chunk) = 0;
};

// Called on a thread of the server's pool. A handler that streams hands the writer to a thread of
// its own and returns.
using Handler = std::function<void(Request request, std::shared_ptr<ResponseWriter> writer)>;

struct ServerOptions {
  std::string address = "127.0.0.1";
  int port = 0;          // 0: any free one
  std::string cert_pem;  // empty: plain HTTP
  std::string key_pem;
};

class Server {
 public:
  virtual ~Server() = default;  // stops listening and waits for handlers that run
  virtual int port() const = 0;
};

// Listens when it returns. Unavailable: the address is taken. InvalidArgument: a PEM text cannot be
// used.
absl::StatusOr<std::unique_ptr<Server>> Serve(ServerOptions options, Handler handler);

}  // namespace ashlar::http
