#include "lib/rpc/server.h"

#include <sys/stat.h>

#include "absl/strings/str_cat.h"
#include "grpcpp/resource_quota.h"
#include "grpcpp/server_builder.h"
#include "lib/base/status_macros.h"
#include "lib/rpc/grpc_log.h"
#include "lib/rpc/unix_socket.h"

namespace ashlar::rpc {
namespace {

absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> Credentials(const ServerOptions& options,
                                                                     bool unix_socket) {
  if (options.address.empty()) return absl::InvalidArgumentError("the server has no address");
  if (unix_socket && options.tls.has_value()) {
    return absl::InvalidArgumentError(
        absl::StrCat(options.address, ": a unix socket is guarded by its mode, not by TLS"));
  }
  if (unix_socket) return grpc::InsecureServerCredentials();
  if (!options.tls.has_value()) {
    return absl::InvalidArgumentError(
        absl::StrCat(options.address, ": a TCP address needs a directory of certificates"));
  }
  return MakeServerCredentials(*options.tls);
}

void SetLimits(grpc::ServerBuilder& builder, size_t max_memory_bytes) {
  grpc::ResourceQuota quota("server");
  quota.Resize(max_memory_bytes);
  builder.SetResourceQuota(quota);
  builder.SetMaxReceiveMessageSize(4 << 20);
  // A peer whose machine died is noticed within half a minute.
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, 20'000);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 10'000);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 5'000);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PING_STRIKES, 0);
  // Two processes on one port would take each other's calls.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Server>> Server::Start(const ServerOptions& options,
                                                      const std::vector<grpc::Service*>& services) {
  RouteGrpcLog();
  const std::string socket = UnixSocketPath(options.address);
  ASHLAR_ASSIGN_OR_RETURN(auto credentials, Credentials(options, !socket.empty()));
  if (!socket.empty()) ASHLAR_RETURN_IF_ERROR(RemoveStaleSocket(socket));
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort(socket.empty() ? options.address : absl::StrCat("unix:", socket),
                           credentials, &port);
  for (grpc::Service* service : services) builder.RegisterService(service);
  SetLimits(builder, options.max_memory_bytes);
  // The socket must never be open to others, not even between bind and chmod; the mask only takes
  // rights away, so that another thread's new file is at worst too strict for a moment.
  const mode_t mask = socket.empty() ? 0 : ::umask(~options.socket_mode & 0777);
  std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (!socket.empty()) ::umask(mask);
  if (server == nullptr || (socket.empty() && port == 0)) {
    return absl::UnavailableError(absl::StrCat("cannot listen on ", options.address));
  }
  if (!socket.empty() && ::chmod(socket.c_str(), options.socket_mode) != 0) {
    return absl::UnavailableError(absl::StrCat("cannot set the mode of ", socket));
  }
  return std::unique_ptr<Server>(new Server(std::move(server), socket.empty() ? port : 0));
}

Server::~Server() { Shutdown(absl::ZeroDuration()); }

void Server::Shutdown(absl::Duration grace) {
  server_->Shutdown(std::chrono::system_clock::now() + absl::ToChronoNanoseconds(grace));
  server_->Wait();
}

}  // namespace ashlar::rpc
