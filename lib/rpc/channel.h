// Channels to gRPC servers of ours. Thread-safe.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "grpcpp/channel.h"
#include "lib/rpc/tls_files.h"

namespace ashlar::rpc {

// A channel to unix:///run/x.sock. It connects when it is first used, and again, within a second of
// the server's return, whenever the connection is lost; calls in between are Unavailable at once.
std::shared_ptr<grpc::Channel> MakeUnixChannel(const std::string& address);

// A channel to host:port with the credentials of MakeChannelCredentials. `peer_name` as in those.
std::shared_ptr<grpc::Channel> MakeTlsChannel(
    const std::string& address, const std::shared_ptr<grpc::ChannelCredentials>& credentials,
    const std::string& peer_name);

}  // namespace ashlar::rpc
