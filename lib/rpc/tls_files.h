// Certificates from a directory with ca.crt, tls.crt and tls.key (the names of a Kubernetes TLS
// secret), for mutual TLS in gRPC. The files are read again every `reread_every`, so that renewed
// certificates serve new connections without a restart. Thread-safe.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "grpcpp/security/credentials.h"
#include "grpcpp/security/server_credentials.h"

namespace ashlar::rpc {

struct TlsFiles {
  std::string directory;
  // The DNS name that the other end's certificate must bear. Required.
  std::string peer_name;
  absl::Duration reread_every = absl::Seconds(30);
};

// Credentials that present tls.crt, trust only ca.crt, and refuse a client without certificate in
// the handshake, and one whose certificate does not bear `peer_name` with PermissionDenied.
// FailedPrecondition: a file is absent, empty or can't be read; the message names it.
absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> MakeServerCredentials(
    const TlsFiles& files);

// Credentials for channels: connections to a server whose certificate does not bear `peer_name` are
// Unavailable, whatever its address. One object serves any number of channels.
absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> MakeChannelCredentials(
    const TlsFiles& files);

// OK if one of the names is `peer_name`, PermissionDenied otherwise.
absl::Status CheckPeerName(const std::vector<std::string>& names, absl::string_view peer_name);

}  // namespace ashlar::rpc
