#include "lib/rpc/server.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <fstream>

#include "absl/strings/str_cat.h"
#include "ashlar/agent/v1/node_agent.grpc.pb.h"
#include "gmock/gmock.h"
#include "grpcpp/create_channel.h"
#include "gtest/gtest.h"
#include "lib/base/testing/temporary_directory.h"
#include "lib/rpc/call_runner.h"
#include "lib/rpc/channel.h"
#include "lib/rpc/client_call.h"
#include "lib/rpc/testing/tls_directory.h"

namespace ashlar::rpc {
namespace {

using agent::v1::NodeAgent;
using testing::HasSubstr;

class PoolService final : public NodeAgent::CallbackService {
 public:
  grpc::ServerUnaryReactor* EnsurePool(grpc::CallbackServerContext* context,
                                       const agent::v1::EnsurePoolRequest* request,
                                       agent::v1::PoolState* response) override {
    return runner_.Unary(context, *request, *response,
                         [](const CallContext&, const agent::v1::EnsurePoolRequest&) {
                           return absl::StatusOr<agent::v1::PoolState>(agent::v1::PoolState());
                         });
  }

 private:
  RealClock clock_;
  metrics::Registry registry_;
  CallRunner runner_{{}, clock_, registry_};
};

absl::Status EnsurePool(const std::shared_ptr<grpc::Channel>& channel) {
  const auto stub = NodeAgent::NewStub(channel);
  const CallContext context{.deadline = absl::Now() + absl::Seconds(10)};
  return Call(context, *stub, &NodeAgent::Stub::EnsurePool, agent::v1::EnsurePoolRequest())
      .status();
}

TEST(Server, UnixSocketHasItsModeAndReplacesAStaleOne) {
  TemporaryDirectory directory;
  const std::string path = directory.path() + "/s.sock";
  const int fd = ::socket(AF_UNIX, SOCK_STREAM, 0);
  sockaddr_un address{.sun_family = AF_UNIX};
  path.copy(address.sun_path, sizeof(address.sun_path) - 1);
  ASSERT_EQ(::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  ::close(fd);  // the file stays, nobody listens

  PoolService service;
  auto server = Server::Start({.address = "unix://" + path, .socket_mode = 0600}, {&service});
  ASSERT_TRUE(server.ok()) << server.status();
  struct stat facts {};
  ASSERT_EQ(::stat(path.c_str(), &facts), 0);
  EXPECT_EQ(facts.st_mode & 0777, 0600);
  EXPECT_TRUE(EnsurePool(MakeUnixChannel("unix://" + path)).ok());
}

TEST(Server, DoesNotTakeTheSocketOfALivingServer) {
  TemporaryDirectory directory;
  const std::string address = "unix://" + directory.path() + "/s.sock";
  PoolService service;
  auto first = Server::Start({.address = address}, {&service});
  ASSERT_TRUE(first.ok()) << first.status();
  PoolService other;
  EXPECT_EQ(Server::Start({.address = address}, {&other}).status().code(),
            absl::StatusCode::kAlreadyExists);
  EXPECT_TRUE(EnsurePool(MakeUnixChannel(address)).ok());
}

TEST(Server, RefusesAddressesThatItMustNotServe) {
  TemporaryDirectory directory;
  std::ofstream(directory.path() + "/file") << "precious";
  const auto code = [](const ServerOptions& options) {
    PoolService service;
    return Server::Start(options, {&service}).status().code();
  };
  EXPECT_EQ(code({.address = "unix://" + directory.path() + "/file"}),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(code({.address = "unix://" + directory.path() + "/absent/s.sock"}),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(code({.address = "unix:///" + std::string(120, 'x')}),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code({.address = "127.0.0.1:0"}), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code({.address = "127.0.0.1:0", .tls = TlsFiles{"/nowhere", "someone"}}),
            absl::StatusCode::kFailedPrecondition);
}

class TlsTest : public testing::Test {
 protected:
  TlsTest() {
    server_files_.Write(ca_, "ashlar-node-agent");
    client_files_.Write(ca_, "ashlar-controller");
  }
  void Serve() {
    auto server = Server::Start(
        {.address = "127.0.0.1:0",
         .tls = TlsFiles{server_files_.path(), "ashlar-controller", absl::Seconds(1)}},
        {&service_});
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }
  absl::Status CallServer(const TlsDirectory& files, const std::string& peer_name) {
    auto credentials = MakeChannelCredentials({files.path(), peer_name, absl::Seconds(1)});
    if (!credentials.ok()) return credentials.status();
    return EnsurePool(
        MakeTlsChannel(absl::StrCat("127.0.0.1:", server_->port()), *credentials, peer_name));
  }

  tls::KeyPair ca_ = MakeTestCa();
  TlsDirectory server_files_;
  TlsDirectory client_files_;
  PoolService service_;
  std::unique_ptr<Server> server_;
};

TEST_F(TlsTest, TheTwoThatKnowEachOtherTalk) {
  Serve();
  EXPECT_TRUE(CallServer(client_files_, "ashlar-node-agent").ok())
      << CallServer(client_files_, "ashlar-node-agent");
}

TEST_F(TlsTest, ServerRefusesAnotherName) {
  Serve();
  TlsDirectory other;
  other.Write(ca_, "ashlar-node-agent");
  const absl::Status status = CallServer(other, "ashlar-node-agent");
  EXPECT_EQ(status.code(), absl::StatusCode::kPermissionDenied) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("only 'ashlar-controller' may call"));
}

TEST_F(TlsTest, ServerRefusesAClientOfAnotherAuthority) {
  Serve();
  TlsDirectory other;
  other.Write(MakeTestCa(), "ashlar-controller");
  std::ofstream(other.path() + "/ca.crt") << ca_.certificate_pem;
  EXPECT_EQ(CallServer(other, "ashlar-node-agent").code(), absl::StatusCode::kUnavailable);
}

TEST_F(TlsTest, ClientRefusesAServerOfAnotherNameOrAuthority) {
  Serve();
  EXPECT_EQ(CallServer(client_files_, "ashlar-other").code(), absl::StatusCode::kUnavailable);
  TlsDirectory other;
  other.Write(MakeTestCa(), "ashlar-controller");
  EXPECT_EQ(CallServer(other, "ashlar-node-agent").code(), absl::StatusCode::kUnavailable);
}

TEST_F(TlsTest, ServerRefusesPlainText) {
  Serve();
  EXPECT_EQ(EnsurePool(grpc::CreateChannel(absl::StrCat("127.0.0.1:", server_->port()),
                                           grpc::InsecureChannelCredentials()))
                .code(),
            absl::StatusCode::kUnavailable);
}

// Waits for the reread, which gRPC does on its own clock.
TEST_F(TlsTest, RenewedCertificatesServeNewConnectionsWithoutRestart) {
  Serve();
  ca_ = MakeTestCa();
  server_files_.Write(ca_, "ashlar-node-agent");
  client_files_.Write(ca_, "ashlar-controller");
  absl::Status status = absl::UnknownError("not called");
  const absl::Time end = absl::Now() + absl::Seconds(20);
  while (!status.ok() && absl::Now() < end) {
    status = CallServer(client_files_, "ashlar-node-agent");
  }
  EXPECT_TRUE(status.ok()) << status;
}

}  // namespace
}  // namespace ashlar::rpc
