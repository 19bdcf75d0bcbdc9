// Server: gRPC services on a unix socket, or on TCP with mutual TLS. Thread-safe.
#pragma once

#include <sys/types.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "grpcpp/server.h"
#include "lib/rpc/tls_files.h"

namespace ashlar::rpc {

struct ServerOptions {
  std::string address;                 // unix:///run/x.sock, or host:port (port 0: any free one)
  mode_t socket_mode = 0600;           // of a unix socket: who may connect
  std::optional<TlsFiles> tls;         // required for host:port, refused for unix
  size_t max_memory_bytes = 64 << 20;  // for messages in flight
};

class Server {
 public:
  // Serves when it returns. A stale socket file is removed, its directory is not made. The services
  // must outlive the server. InvalidArgument: the address or its security; AlreadyExists: another
  // process listens on the socket; FailedPrecondition: certificates; Unavailable: the address can't
  // be bound.
  static absl::StatusOr<std::unique_ptr<Server>> Start(const ServerOptions& options,
                                                       const std::vector<grpc::Service*>& services);
  ~Server();  // Shutdown without grace

  int port() const { return port_; }  // 0 for unix sockets

  // Takes no more calls; those under way are cancelled after `grace`. Returns when all have ended.
  void Shutdown(absl::Duration grace);

 private:
  Server(std::unique_ptr<grpc::Server> server, int port)
      : server_(std::move(server)), port_(port) {}
  std::unique_ptr<grpc::Server> server_;
  int port_;
};

}  // namespace ashlar::rpc
