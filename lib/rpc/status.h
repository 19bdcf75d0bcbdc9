// The one place where absl::Status becomes grpc::Status and back. The codes are the same by number;
// the message is carried as it is. No state.
#pragma once

#include "absl/status/status.h"
#include "grpcpp/support/status.h"

namespace ashlar::rpc {

grpc::Status ToGrpc(const absl::Status& status);

// A code that gRPC does not define becomes Unknown.
absl::Status FromGrpc(const grpc::Status& status);

}  // namespace ashlar::rpc
