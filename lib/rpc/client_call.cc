#include "lib/rpc/client_call.h"

namespace ashlar::rpc {

ClientCall::ClientCall(const CallContext& context, WhenAway when_away)
    : on_stop_(context.stop, Cancel{&grpc_context_}) {
  grpc_context_.set_wait_for_ready(when_away == WhenAway::kWait);
  if (context.deadline != absl::InfiniteFuture()) {
    grpc_context_.set_deadline(absl::ToChronoTime(context.deadline));
  }
  if (!context.request_id.empty()) {
    grpc_context_.AddMetadata(kRequestIdMetadata, context.request_id);
  }
}

}  // namespace ashlar::rpc
