// Calls to a gRPC service under a CallContext: its deadline and request id travel with the call,
// its stop token ends it at once. Thread-safe.
//
//   ASHLAR_ASSIGN_OR_RETURN(PoolState state, rpc::Call(context, *stub, &Stub::EnsurePool,
//   request));
#pragma once

#include <optional>
#include <stop_token>

#include "absl/status/statusor.h"
#include "grpcpp/client_context.h"
#include "lib/base/call_context.h"
#include "lib/rpc/status.h"

namespace ashlar::rpc {

inline constexpr char kRequestIdMetadata[] = "x-request-id";

// What a call does while there is no connection: fails Unavailable at once, or waits for it until
// its deadline.
enum class WhenAway { kFail, kWait };

// The gRPC side of one call under a CallContext. Lives as long as the call.
class ClientCall {
 public:
  explicit ClientCall(const CallContext& context, WhenAway when_away = WhenAway::kFail);
  grpc::ClientContext* get() { return &grpc_context_; }

 private:
  struct Cancel {
    grpc::ClientContext* context;
    void operator()() const { context->TryCancel(); }
  };
  grpc::ClientContext grpc_context_;
  std::stop_callback<Cancel> on_stop_;
};

template <class Stub, class Request, class Response>
absl::StatusOr<Response> Call(const CallContext& context, Stub& stub,
                              grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&,
                                                           Response*),
                              const Request& request, WhenAway when_away = WhenAway::kFail) {
  ClientCall call(context, when_away);
  Response response;
  const grpc::Status status = (stub.*method)(call.get(), request, &response);
  if (!status.ok()) return FromGrpc(status);
  return response;
}

}  // namespace ashlar::rpc
