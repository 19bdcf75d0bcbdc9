#include "lib/metrics/ops_server.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace ashlar::metrics {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

std::string Get(int port, absl::string_view path) {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) return "";
  const std::string request =
      absl::StrCat("GET ", path, " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  if (write(fd, request.data(), request.size()) < 0) return "";
  std::string answer;
  char chunk[4096];
  for (ssize_t n; (n = read(fd, chunk, sizeof chunk)) > 0;) answer.append(chunk, n);
  close(fd);
  return answer;
}

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
  EXPECT_THAT(Get(port, "/else"), StartsWith("HTTP/1.1 404"));
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
