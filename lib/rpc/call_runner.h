// CallRunner: runs the methods of gRPC services, which may block, on threads of its own. Each call
// gets a CallContext with the caller's deadline, a stop token that fires when the caller goes away
// or the server shuts down, and the caller's x-request-id (a new one is made if there is none).
// Each call is logged without secrets and counted. Thread-safe.
//
//   class NodeAgentService final : public agent::v1::NodeAgent::CallbackService {
//     grpc::ServerUnaryReactor* EnsurePool(grpc::CallbackServerContext* context,
//                                          const EnsurePoolRequest* request,
//                                          PoolState* response) override {
//       return runner_.Unary(context, *request, *response,
//                            [this](const CallContext& call, const EnsurePoolRequest& pool) {
//                              return EnsurePool(call, pool);  // absl::StatusOr<PoolState>
//                            });
//     }
//   };
//
// gRPC's callback API is used because its synchronous API tells of a cancelled call only to those
// who keep asking.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "google/protobuf/message.h"
#include "grpcpp/server_context.h"
#include "grpcpp/support/server_callback.h"
#include "lib/base/call_context.h"
#include "lib/base/clock.h"
#include "lib/metrics/metrics.h"
#include "lib/rpc/status.h"
#include "lib/rpc/worker_pool.h"

namespace ashlar::rpc {

// What a method that answers with a stream writes to. Used by one thread.
template <class Item>
class ServerStream {
 public:
  virtual ~ServerStream() = default;
  // Returns when gRPC has taken the item. Cancelled: the caller has gone away.
  virtual absl::Status Write(const Item& item) = 0;
};

class CallRunner {
 public:
  struct Options {
    // More calls at a time, streams included, are answered Unavailable.
    int max_calls = 64;
    // Full names of services (NodeAgent::service_full_name()) whose metrics exist from the start.
    std::vector<std::string> services;
  };

  // `clock` and `registry` must outlive the runner; the runner must outlive the server.
  CallRunner(Options options, Clock& clock, metrics::Registry& registry);

  // `handler(const CallContext&, const Request&)` answers absl::StatusOr<Response>.
  template <class Request, class Response, class Handler>
  grpc::ServerUnaryReactor* Unary(grpc::CallbackServerContext* context, const Request& request,
                                  Response& response, Handler handler) {
    auto* call = new UnaryCall;
    Start(
        *context, request, call->stop, [call](const absl::Status& s) { call->Finish(ToGrpc(s)); },
        [&request, &response,
         handler = std::move(handler)](const CallContext& call_context) -> absl::Status {
          absl::StatusOr<Response> answer = handler(call_context, request);
          if (!answer.ok()) return answer.status();
          response = *std::move(answer);
          return absl::OkStatus();
        });
    return call;
  }

  // `handler(const CallContext&, const Request&, ServerStream<Item>&)` answers absl::Status.
  template <class Item, class Request, class Handler>
  grpc::ServerWriteReactor<Item>* Stream(grpc::CallbackServerContext* context,
                                         const Request& request, Handler handler) {
    auto* call = new StreamCall<Item>;
    Start(
        *context, request, call->stop, [call](const absl::Status& s) { call->Finish(ToGrpc(s)); },
        [&request, call, handler = std::move(handler)](const CallContext& call_context) {
          return handler(call_context, request, *call);
        });
    return call;
  }

 private:
  // Both delete themselves in OnDone, which gRPC calls last of all.
  struct UnaryCall final : grpc::ServerUnaryReactor {
    void OnCancel() override { stop.request_stop(); }
    void OnDone() override { delete this; }
    std::stop_source stop;
  };

  template <class Item>
  struct StreamCall final : grpc::ServerWriteReactor<Item>, ServerStream<Item> {
    absl::Status Write(const Item& item) override {
      {
        MutexLock lock(mu);
        written = Written::kPending;
      }
      this->StartWrite(&item);
      MutexLock lock(mu);
      while (written == Written::kPending) changed.Wait(mu);
      if (written == Written::kOk) return absl::OkStatus();
      return absl::CancelledError("the caller has gone away");
    }
    void OnWriteDone(bool ok) override {
      MutexLock lock(mu);
      written = ok ? Written::kOk : Written::kFailed;
      changed.NotifyAll();
    }
    void OnCancel() override { stop.request_stop(); }
    void OnDone() override { delete this; }

    enum class Written { kPending, kOk, kFailed };
    std::stop_source stop;
    Mutex mu;
    CondVar changed;
    Written written ABSL_GUARDED_BY(mu) = Written::kOk;
  };

  using Work = std::function<absl::Status(const CallContext&)>;
  using Finish = std::function<void(const absl::Status&)>;
  void Start(const grpc::CallbackServerContext& context, const google::protobuf::Message& request,
             const std::stop_source& stop, Finish finish, Work work);
  void Record(const std::string& method, const google::protobuf::Message& request,
              const CallContext& context, absl::Time start, const absl::Status& status);

  Clock& clock_;
  metrics::Registry& registry_;
  WorkerPool pool_;
};

// A context for work that no caller asked for, with a new request id.
CallContext NewCallContext(absl::Time deadline, std::stop_token stop);

// 16 hexadecimal digits that no other call has.
std::string NewRequestId();

}  // namespace ashlar::rpc
