// An HTTP/1.1 server, with or without TLS. Together with client.h the only door to cpprestsdk.
// Thread-safe.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "lib/http/client.h"

namespace ashlar::http {

// The answer to one request: either one Send, or Start, then Write until it says false or the
// answer is done, then the object is destroyed, which ends the body. Usable from any thread, also
// after the handler has returned. Destroyed without either, it answers 500.
class ResponseWriter {
 public:
  virtual ~ResponseWriter() = default;
  virtual void Send(Response response) = 0;
  virtual void Start(int status, Headers headers) = 0;
  // Sends the bytes now. False: the client has gone away, reads too slowly, or the server stops;
  // nothing more will be sent.
  virtual bool Write(absl::string_view chunk) = 0;
};

// Called on one of the server's worker threads. A handler that streams hands the writer to a thread
// of its own and returns.
using Handler = std::function<void(Request request, std::shared_ptr<ResponseWriter> writer)>;

struct ServerOptions {
  std::string address = "127.0.0.1";
  int port = 0;          // 0: any free one
  std::string cert_pem;  // with its chain; empty: plain HTTP
  std::string key_pem;
  int workers = 8;                           // handlers that run at once
  int64_t max_body_bytes = 4 * 1024 * 1024;  // more is answered with 413
  // What a streaming client may leave unread before it counts as gone.
  int64_t max_unsent_bytes = 16 * 1024 * 1024;
};

class Server {
 public:
  // Stops listening, ends streams (their Write says false) and waits for handlers that run.
  virtual ~Server() = default;
  virtual int port() const = 0;
};

// Listens when it returns. Request headers have names in lower case. Unavailable: the address is
// taken or cannot be used. InvalidArgument: a PEM text cannot be used.
absl::StatusOr<std::unique_ptr<Server>> Serve(ServerOptions options, Handler handler);

}  // namespace ashlar::http
