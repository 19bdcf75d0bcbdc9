#include "lib/metrics/ops_server.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace ashlar::metrics {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::StartsWith;

// Connected to the server, or -1.
int Connect(int port) {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0) return fd;
  close(fd);
  return -1;
}

std::string Ask(int port, absl::string_view method, absl::string_view path) {
  const int fd = Connect(port);
  const std::string request =
      absl::StrCat(method, " ", path, " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  if (write(fd, request.data(), request.size()) < 0) return "";
  std::string answer;
  char chunk[4096];
  for (ssize_t n; (n = read(fd, chunk, sizeof chunk)) > 0;) answer.append(chunk, n);
  close(fd);
  return answer;
}

std::string Get(int port, absl::string_view path) { return Ask(port, "GET", path); }

absl::Status Ready() { return absl::OkStatus(); }

TEST(OpsServer, ShowsMetricsHealthAndReadiness) {
  Registry registry;
  registry.GetCounter("ashlar_test_total", "help").Increment();
  absl::Status readiness = absl::UnavailableError("the agent does not answer");
  auto server = ServeOps("127.0.0.1:0", registry, [&] { return readiness; });
  ASSERT_TRUE(server.ok()) << server.status();
  const int port = (*server)->port();
  EXPECT_THAT(Get(port, "/metrics"), HasSubstr("ashlar_test_total 1"));
  EXPECT_THAT(Get(port, "/healthz"), StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(Get(port, "/readyz"), StartsWith("HTTP/1.1 503"));
  EXPECT_THAT(Get(port, "/readyz"), HasSubstr("the agent does not answer"));
  readiness = absl::OkStatus();
  EXPECT_THAT(Get(port, "/readyz"), StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(Get(port, "/readyz?verbose"), StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(Get(port, "/else"), StartsWith("HTTP/1.1 404"));
}

TEST(OpsServer, AnswersOnlyGetAndHead) {
  Registry registry;
  auto server = ServeOps("127.0.0.1:0", registry, Ready);
  ASSERT_TRUE(server.ok()) << server.status();
  EXPECT_THAT(Ask((*server)->port(), "POST", "/healthz"), StartsWith("HTTP/1.1 405"));
  const std::string head = Ask((*server)->port(), "HEAD", "/healthz");
  EXPECT_THAT(head, StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(head, HasSubstr("Content-Length: 3\r\n"));
  EXPECT_THAT(head, EndsWith("\r\n\r\n"));
}

TEST(OpsServer, StopsAtOnceWithAConnectionOpen) {
  Registry registry;
  auto server = ServeOps("127.0.0.1:0", registry, Ready);
  ASSERT_TRUE(server.ok()) << server.status();
  const int port = (*server)->port();
  const int silent = Connect(port);
  Get(port, "/healthz");  // the server has taken both
  server->reset();
  char byte;
  EXPECT_EQ(read(silent, &byte, 1), 0);
  close(silent);
  EXPECT_EQ(Connect(port), -1);
  for (int i = 0; i < 100; ++i) {  // before its thread has begun
    auto another = ServeOps("127.0.0.1:0", registry, Ready);
    ASSERT_TRUE(another.ok()) << another.status();
  }
}

TEST(OpsServer, SaysThatAPortIsTaken) {
  Registry registry;
  auto first = ServeOps("127.0.0.1:0", registry, Ready);
  ASSERT_TRUE(first.ok()) << first.status();
  const auto second =
      ServeOps(absl::StrCat("127.0.0.1:", (*first)->port()), registry, Ready).status();
  EXPECT_EQ(second.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(second.message(), HasSubstr("in use"));
}

TEST(OpsServer, ListensOnIpv6) {
  Registry registry;
  auto server = ServeOps("[::]:0", registry, Ready);
  if (absl::IsUnavailable(server.status())) GTEST_SKIP() << "no IPv6 on this machine";
  ASSERT_TRUE(server.ok()) << server.status();
  EXPECT_THAT(Get((*server)->port(), "/healthz"), StartsWith("HTTP/1.1 200"));
}

TEST(OpsServer, AnAddressWithoutPortIsRefused) {
  Registry registry;
  for (const char* address :
       {"", ":", "localhost", "localhost:", ":80", "localhost:x", "localhost:70000"}) {
    EXPECT_EQ(ServeOps(address, registry, [] { return absl::OkStatus(); }).status().code(),
              absl::StatusCode::kInvalidArgument)
        << address;
  }
}

}  // namespace
}  // namespace ashlar::metrics
