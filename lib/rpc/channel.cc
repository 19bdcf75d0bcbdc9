#include "lib/rpc/channel.h"

#include "absl/strings/str_cat.h"
#include "grpcpp/create_channel.h"
#include "grpcpp/support/channel_arguments.h"
#include "lib/rpc/grpc_log.h"
#include "lib/rpc/unix_socket.h"

namespace ashlar::rpc {
namespace {

grpc::ChannelArguments Arguments() {
  RouteGrpcLog();
  grpc::ChannelArguments arguments;
  // A server that comes back is found soon; the default waits up to two minutes.
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  // Despite its name the time that one attempt may take, TLS handshake included.
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 10'000);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1'000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 20'000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 10'000);
  // Each channel has its own connection, so that closing one does not disturb another.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  // An inventory of thousands of volumes is larger than the default of 4 MiB.
  arguments.SetMaxReceiveMessageSize(64 << 20);
  return arguments;
}

}  // namespace

std::shared_ptr<grpc::Channel> MakeUnixChannel(const std::string& address) {
  grpc::ChannelArguments arguments = Arguments();
  return grpc::CreateCustomChannel(absl::StrCat("unix:", UnixSocketPath(address)),
                                   grpc::InsecureChannelCredentials(), arguments);
}

std::shared_ptr<grpc::Channel> MakeTlsChannel(
    const std::string& address, const std::shared_ptr<grpc::ChannelCredentials>& credentials,
    const std::string& peer_name) {
  grpc::ChannelArguments arguments = Arguments();
  arguments.SetSslTargetNameOverride(peer_name);
  // A proxy of the environment is for the outside world, not for agents.
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  return grpc::CreateCustomChannel(address, credentials, arguments);
}

}  // namespace ashlar::rpc
