#include "node-agent/service/agent_app.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <thread>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/base/testing/temporary_directory.h"

namespace ashlar::node_agent {
namespace {

using ::testing::HasSubstr;

sockaddr_in Loopback(int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

int FreePort() {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address = Loopback(0);
  socklen_t size = sizeof address;
  EXPECT_EQ(bind(fd, reinterpret_cast<sockaddr*>(&address), size), 0);
  EXPECT_EQ(getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size), 0);
  close(fd);
  return ntohs(address.sin_port);
}

// The answer of /readyz, or "" while nobody listens.
std::string Readyz(int port) {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  const sockaddr_in address = Loopback(port);
  std::string answer;
  if (connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) {
    const std::string request = "GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    EXPECT_GT(write(fd, request.data(), request.size()), 0);
    char chunk[4096];
    for (ssize_t n; (n = read(fd, chunk, sizeof chunk)) > 0;)
      answer.append(chunk, static_cast<size_t>(n));
  }
  close(fd);
  return answer;
}

TEST(AgentApp, IsNotReadyAndSaysWhyUntilWhatWasLeftIsRecovered) {
  const TemporaryDirectory temporary;
  AgentOptions options;
  options.node_name = "n1";
  options.state_dir = temporary.path() + "/state";
  options.listen = absl::StrCat("unix://", temporary.path(), "/agent.sock");
  options.mount_socket = temporary.path() + "/mount.sock";
  const int port = FreePort();
  options.ops_address = absl::StrCat("127.0.0.1:", port);
  // A record whose reading waits for a writer holds the recovery up.
  std::filesystem::create_directories(options.state_dir + "/journal/pools");
  const std::string record = options.state_dir + "/journal/pools/p.json";
  ASSERT_EQ(mkfifo(record.c_str(), 0600), 0);
  absl::StatusOr<std::unique_ptr<AgentApp>> agent = absl::UnknownError("");
  std::jthread start([&] { agent = AgentApp::Start({}, options); });
  // Also when the test fails before.
  absl::Cleanup go_on = [&] { close(open(record.c_str(), O_RDWR | O_NONBLOCK)); };
  std::string answer;
  while (answer.find("making the pools ready") == std::string::npos) {
    answer = Readyz(port);
    ASSERT_EQ(answer.find(" 200 "), std::string::npos) << "ready too early";
  }
  EXPECT_THAT(answer, HasSubstr(" 503 "));
  std::move(go_on).Invoke();
  start.join();
  ASSERT_TRUE(agent.ok()) << agent.status();
  EXPECT_THAT(Readyz(port), HasSubstr(" 200 "));
}

}  // namespace
}  // namespace ashlar::node_agent
