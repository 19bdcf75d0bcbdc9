#include "lib/rpc/call_runner.h"

#include <latch>
#include <thread>

#include "ashlar/agent/v1/node_agent.grpc.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/base/testing/temporary_directory.h"
#include "lib/rpc/channel.h"
#include "lib/rpc/client_call.h"
#include "lib/rpc/server.h"

namespace ashlar::rpc {
namespace {

using agent::v1::NodeAgent;
using testing::HasSubstr;

// A service whose answers the test decides.
class TestService final : public NodeAgent::CallbackService {
 public:
  TestService(Clock& clock, metrics::Registry& registry, int max_calls)
      : runner_({.max_calls = max_calls, .services = {NodeAgent::service_full_name()}}, clock,
                registry) {}

  grpc::ServerUnaryReactor* EnsurePool(grpc::CallbackServerContext* context,
                                       const agent::v1::EnsurePoolRequest* request,
                                       agent::v1::PoolState* response) override {
    return runner_.Unary(context, *request, *response,
                         [this](const CallContext& call, const agent::v1::EnsurePoolRequest&) {
                           return pool(call);
                         });
  }
  grpc::ServerWriteReactor<agent::v1::Inventory>* WatchInventory(
      grpc::CallbackServerContext* context,
      const agent::v1::WatchInventoryRequest* request) override {
    return runner_.Stream<agent::v1::Inventory>(
        context, *request,
        [this](const CallContext& call, const agent::v1::WatchInventoryRequest&,
               ServerStream<agent::v1::Inventory>& stream) { return watch(call, stream); });
  }

  std::function<absl::StatusOr<agent::v1::PoolState>(const CallContext&)> pool;
  std::function<absl::Status(const CallContext&, ServerStream<agent::v1::Inventory>&)> watch;

 private:
  CallRunner runner_;
};

class CallRunnerTest : public testing::Test {
 protected:
  void Serve(int max_calls = 8) {
    service_ = std::make_unique<TestService>(clock_, registry_, max_calls);
    const std::string address = "unix://" + directory_.path() + "/s.sock";
    auto server = Server::Start({.address = address}, {service_.get()});
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    stub_ = NodeAgent::NewStub(MakeUnixChannel(address));
  }
  absl::StatusOr<agent::v1::PoolState> EnsurePool(const CallContext& context) {
    return Call(context, *stub_, &NodeAgent::Stub::EnsurePool, agent::v1::EnsurePoolRequest());
  }

  RealClock clock_;
  metrics::Registry registry_;
  TemporaryDirectory directory_;
  std::unique_ptr<TestService> service_;
  std::unique_ptr<Server> server_;
  std::unique_ptr<NodeAgent::Stub> stub_;
};

// Blocks until the call is called off.
absl::Status AwaitStop(const CallContext& context) {
  std::latch stopped(1);
  std::stop_callback on_stop(context.stop, [&] { stopped.count_down(); });
  stopped.wait();
  return absl::CancelledError("stopped");
}

TEST_F(CallRunnerTest, DeadlineAndRequestIdTravelWithTheCall) {
  Serve();
  CallContext seen;
  service_->pool = [&](const CallContext& context) {
    seen = context;
    agent::v1::PoolState state;
    state.set_name("fast");
    return state;
  };
  const absl::Time deadline = clock_.Now() + absl::Minutes(5);
  const auto answer = EnsurePool({.deadline = deadline, .request_id = "req-1"});
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answer->name(), "fast");
  EXPECT_EQ(seen.request_id, "req-1");
  EXPECT_LT(absl::AbsDuration(seen.deadline - deadline), absl::Seconds(2));
}

TEST_F(CallRunnerTest, RequestIdIsMadeIfAbsentOrNotFitForALogLine) {
  Serve();
  std::string seen;
  service_->pool = [&](const CallContext& context) {
    seen = context.request_id;
    return agent::v1::PoolState();
  };
  for (const std::string& bad : {std::string(), std::string("a b"), std::string(65, 'x')}) {
    seen.clear();
    ASSERT_TRUE(EnsurePool({.request_id = bad}).ok());
    EXPECT_EQ(seen.size(), 16) << bad;
  }
}

TEST_F(CallRunnerTest, StatusIsCarriedToTheCaller) {
  Serve();
  service_->pool = [](const CallContext&) {
    return absl::ResourceExhaustedError("12 MiB are free on n1");
  };
  EXPECT_EQ(EnsurePool({}).status(), absl::ResourceExhaustedError("12 MiB are free on n1"));
  EXPECT_THAT(registry_.Text(), HasSubstr("code=\"RESOURCE_EXHAUSTED\""));
}

TEST_F(CallRunnerTest, MetricsExistBeforeTheFirstCall) {
  Serve();
  EXPECT_THAT(registry_.Text(), HasSubstr("method=\"NodeAgent/RemoveVolume\""));
}

TEST_F(CallRunnerTest, ACallerThatStopsEndsTheCallOnBothSides) {
  Serve();
  std::stop_source stop;
  std::latch ended(1);
  service_->pool = [&](const CallContext& context) -> absl::StatusOr<agent::v1::PoolState> {
    stop.request_stop();
    const absl::Status status = AwaitStop(context);
    ended.count_down();
    return status;
  };
  EXPECT_EQ(EnsurePool({.stop = stop.get_token()}).status().code(), absl::StatusCode::kCancelled);
  ended.wait();
}

TEST_F(CallRunnerTest, ADeadlineThatPassesStopsTheHandler) {
  Serve();
  std::latch ended(1);
  service_->pool = [&](const CallContext& context) -> absl::StatusOr<agent::v1::PoolState> {
    const absl::Status status = AwaitStop(context);
    ended.count_down();
    return status;
  };
  EXPECT_EQ(EnsurePool({.deadline = clock_.Now() + absl::Milliseconds(50)}).status().code(),
            absl::StatusCode::kDeadlineExceeded);
  ended.wait();
}

TEST_F(CallRunnerTest, CallsBeyondTheLimitAreUnavailable) {
  Serve(1);
  std::latch running(1);
  std::latch release(1);
  service_->pool = [&](const CallContext&) {
    running.count_down();
    release.wait();
    return agent::v1::PoolState();
  };
  std::jthread first([&] { EXPECT_TRUE(EnsurePool({}).ok()); });
  running.wait();
  EXPECT_EQ(EnsurePool({}).status().code(), absl::StatusCode::kUnavailable);
  release.count_down();
}

TEST_F(CallRunnerTest, StreamHandsOverItemsUntilTheCallerLeaves) {
  Serve();
  std::latch ended(1);
  service_->watch = [&](const CallContext&, ServerStream<agent::v1::Inventory>& stream) {
    agent::v1::Inventory inventory;
    absl::Status status;
    for (int i = 1; status.ok(); ++i) {
      inventory.set_revision(i);
      status = stream.Write(inventory);
    }
    ended.count_down();
    return status;
  };
  ClientCall call(CallContext{});
  auto reader = stub_->WatchInventory(call.get(), agent::v1::WatchInventoryRequest());
  agent::v1::Inventory inventory;
  for (int i = 1; i <= 3; ++i) {
    ASSERT_TRUE(reader->Read(&inventory));
    EXPECT_EQ(inventory.revision(), i);
  }
  call.get()->TryCancel();
  EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::CANCELLED);
  ended.wait();
}

TEST_F(CallRunnerTest, ShutdownStopsTheCallsThatRun) {
  Serve();
  std::latch running(1);
  service_->pool = [&](const CallContext& context) -> absl::StatusOr<agent::v1::PoolState> {
    running.count_down();
    return AwaitStop(context);
  };
  std::jthread caller([&] { EXPECT_FALSE(EnsurePool({}).ok()); });
  running.wait();
  server_->Shutdown(absl::ZeroDuration());
}

}  // namespace
}  // namespace ashlar::rpc
