#include "lib/rpc/status.h"

#include <string>

namespace ashlar::rpc {
namespace {

// A message travels in an HTTP/2 header, which peers limit to 8 KiB; it grows by percent-encoding.
constexpr size_t kMaxMessageBytes = 2048;

}  // namespace

grpc::Status ToGrpc(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  std::string message(status.message());
  if (message.size() > kMaxMessageBytes) {
    message.resize(kMaxMessageBytes);
    message += "...";
  }
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()), message);
}

absl::Status FromGrpc(const grpc::Status& status) {
  const int code = status.error_code();
  if (code < 0 || code > grpc::StatusCode::UNAUTHENTICATED) {
    return absl::UnknownError(status.error_message());
  }
  return absl::Status(static_cast<absl::StatusCode>(code), status.error_message());
}

}  // namespace ashlar::rpc
