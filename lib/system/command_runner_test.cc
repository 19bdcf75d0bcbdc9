#include "lib/system/command_runner.h"

#include <thread>

#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace ashlar::sys {
namespace {

using testing::HasSubstr;

TEST(CommandRunner, GivesExitCodeAndBothStreams) {
  PosixCommandRunner runner;
  const auto result = runner.Run({}, {"sh", "-c", "echo out; echo err >&2; exit 3"});
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->exit_code, 3);
  EXPECT_EQ(result->out, "out\n");
  EXPECT_EQ(result->err, "err\n");
  const absl::Status failed = ExpectSuccess({"tool", "x"}, *result);
  EXPECT_THAT(std::string(failed.message()), HasSubstr("tool x: exit code 3: err"));
}

TEST(CommandRunner, TakesArgumentsAsTheyAre) {
  PosixCommandRunner runner;
  EXPECT_EQ(runner.Run({}, {"printf", "%s", "$(id); `id` \"'"})->out, "$(id); `id` \"'");
}

TEST(CommandRunner, KeepsTheHeadOfOutputAndTheTailOfErrors) {
  PosixCommandRunner runner;
  const auto result =
      runner.Run({}, {"sh", "-c", "echo first; seq 3000000; (seq 100000; echo last) >&2"});
  EXPECT_EQ(result->out.size(), size_t{16} << 20);
  EXPECT_EQ(result->out.substr(0, 6), "first\n");
  EXPECT_EQ(result->err.size(), 65536u);
  EXPECT_EQ(result->err.substr(65536 - 5), "last\n");
}

TEST(CommandRunner, KillsTheWholeGroupAtTheDeadline) {
  PosixCommandRunner runner;
  CallContext context;
  context.deadline = absl::Now() + absl::Milliseconds(50);
  const absl::Time start = absl::Now();
  const auto result = runner.Run(context, {"sh", "-c", "sleep 100 & sleep 100"});
  EXPECT_EQ(result.status().code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_LT(absl::Now() - start, absl::Seconds(20));
}

TEST(CommandRunner, KillsWhenTheCallIsCalledOff) {
  PosixCommandRunner runner;
  std::stop_source stop;
  CallContext context;
  context.stop = stop.get_token();
  std::jthread caller([&] { stop.request_stop(); });
  EXPECT_EQ(runner.Run(context, {"sleep", "100"}).status().code(), absl::StatusCode::kCancelled);
}

TEST(CommandRunner, DoesNotWaitForADaemonThatHoldsTheStreams) {
  PosixCommandRunner runner;
  CallContext context;
  context.deadline = absl::Now() + absl::Seconds(20);
  EXPECT_TRUE(runner.Run(context, {"sh", "-c", "sleep 30 & echo done"}).ok());
}

TEST(CommandRunner, SaysThatThereIsNoSuchProgram) {
  PosixCommandRunner runner;
  const auto result = runner.Run({}, {"no-such-program"});
  EXPECT_EQ(result.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(result.status().message()), HasSubstr("no-such-program"));
}

}  // namespace
}  // namespace ashlar::sys
