// A process that works on a volume is killed before and after each of its steps; the next process
// must find everything that was acknowledged, nothing half made, and nothing leaked.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "absl/strings/match.h"
#include "gtest/gtest.h"
#include "lib/base/log.h"
#include "lib/system/files.h"
#include "node-agent/testing/loop_lab.h"

namespace ashlar::node_agent {
namespace {

struct Script {
  std::string fs_type;
  std::string staging, target;

  VolumeMode mode() const { return fs_type.empty() ? VolumeMode::kBlock : VolumeMode::kFilesystem; }

  // Every operation of a volume's life in turn; `acknowledged` is called after each.
  absl::Status Run(VolumeManager& volumes, const std::function<void(char)>& acknowledged) const {
    const std::vector<std::function<absl::Status()>> steps = {
        [&] {
          return volumes.Ensure({}, {"v", "p", 301 * kMiB, mode(), fs_type}).status();
        },
        [&] {
          return volumes.Stage({}, {"v", staging, mode(), fs_type, {}});
        },
        [&] {
          return volumes.Publish({}, {"v", staging, target, mode(), true, {}, false});
        },
        [&] { return volumes.Resize({}, "v", 400 * kMiB).status(); },
        [&] {
          if (fs_type == "ext4") return absl::OkStatus();
          return volumes.Expand({}, "v", target, 0).status();
        },
        [&] { return volumes.Unpublish({}, "v", target); },
        [&] { return volumes.Unstage({}, "v", staging); },
        [&] { return volumes.Remove({}, "v"); }};
    for (size_t i = 0; i < steps.size(); ++i) {
      if (const absl::Status status = steps[i](); !status.ok()) return status;
      acknowledged(static_cast<char>('1' + i));
    }
    return absl::OkStatus();
  }
};

class CrashTest : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    ASHLAR_NEEDS_LOOP_LAB();
    SetLogLevel(LogLevel::kError);
    lab_ = std::make_unique<LoopLab>();
    pool_ = lab_->MakeFilesystem("xfs", int64_t{1} << 30);
    script_ = {GetParam(), lab_->Path("kubelet/staging"), lab_->Path("kubelet/target")};
  }
  void TearDown() override { SetLogLevel(LogLevel::kInfo); }

  std::unique_ptr<AgentStack> StartAgent() {
    auto agent =
        std::make_unique<AgentStack>(lab_->Path("state"), std::vector{lab_->Path("kubelet")});
    EXPECT_EQ(agent->Start(), absl::OkStatus());
    const auto pool = agent->EnsureDirectoryPool(pool_);
    EXPECT_TRUE(pool.ok() && pool->ready);
    return agent;
  }

  // Runs the script in a process that dies at step `fatal`. Returns what was acknowledged, and in
  // `killed_at` the step, or "" if the script ended before.
  std::string RunAndKill(int fatal, std::string& killed_at) {
    int acks[2], names[2];
    EXPECT_EQ(pipe(acks), 0);
    EXPECT_EQ(pipe(names), 0);
    const pid_t child = fork();
    if (child == 0) {
      auto agent = StartAgent();
      int step = 0;
      agent->hook = [&](const char* name) {
        if (step++ != fatal) return;
        if (write(names[1], name, strlen(name)) > 0) kill(getpid(), SIGKILL);
      };
      const absl::Status status =
          script_.Run(agent->volumes, [&](char ack) { (void)!write(acks[1], &ack, 1); });
      _exit(status.ok() ? 0 : 1);
    }
    close(acks[1]);
    close(names[1]);
    int status = 0;
    waitpid(child, &status, 0);
    char buffer[64];
    const ssize_t acked = read(acks[0], buffer, sizeof buffer);
    const std::string acknowledged(buffer, static_cast<size_t>(std::max<ssize_t>(0, acked)));
    const ssize_t named = read(names[0], buffer, sizeof buffer);
    killed_at.assign(buffer, static_cast<size_t>(std::max<ssize_t>(0, named)));
    close(acks[0]);
    close(names[0]);
    EXPECT_TRUE(killed_at.empty() ? WIFEXITED(status) && WEXITSTATUS(status) == 0
                                  : WIFSIGNALED(status));
    return acknowledged;
  }

  // `acked`: how many operations were acknowledged before the kill.
  void CheckInvariants(AgentStack& agent, size_t acked) {
    const auto names = sys::ListDirectory(pool_ + "/volumes");
    for (const std::string& name : *names)
      EXPECT_TRUE(absl::EndsWith(name, ".img")) << name << " is half made";
    const std::vector<VolumeStatus> list = agent.volumes.List();
    if (acked >= 1 && acked <= 6) {
      ASSERT_EQ(list.size(), 1u) << "an acknowledged volume is lost";
      EXPECT_TRUE(list[0].healthy) << list[0].message;
      EXPECT_GE(list[0].size_bytes, (acked >= 4 ? 400 : 301) * kMiB);
    }
    if (acked >= 3 && acked <= 4) {
      EXPECT_EQ(list.at(0).publications, 1) << "a published volume was disturbed";
      EXPECT_NE(sys::FindMount(*agent.mounts.List(), script_.target), nullptr);
    }
    const int staged = !list.empty() && list[0].staged ? 1 : 0;
    EXPECT_EQ(lab_->LoopsBelow(pool_), staged) << "a loop device leaks";
    if (staged == 0) {
      EXPECT_EQ(lab_->MountsBelow(lab_->Path("kubelet")), 0) << "a mount leaks";
    }
  }

  std::unique_ptr<LoopLab> lab_;
  std::string pool_;
  Script script_;
};

TEST_P(CrashTest, NothingIsLostAndNothingLeaksWhereverTheProcessIsKilled) {
  std::string killed_at = "start";
  int step = 0;
  for (; !killed_at.empty(); ++step) {
    const std::string acked = RunAndKill(step, killed_at);
    SCOPED_TRACE("killed at step " + std::to_string(step) + " " + killed_at + ", acknowledged " +
                 acked);
    {
      auto agent = StartAgent();
      CheckInvariants(*agent, acked.size());
      // Whoever asked repeats the call that was not acknowledged, and goes on.
      ASSERT_EQ(script_.Run(agent->volumes, [](char) {}), absl::OkStatus());
    }
    EXPECT_EQ(lab_->LoopsBelow(pool_), 0);
    EXPECT_EQ(lab_->MountsBelow(lab_->Path("kubelet")), 0);
    EXPECT_TRUE(std::filesystem::is_empty(pool_ + "/volumes"));
    EXPECT_TRUE(std::filesystem::is_empty(lab_->Path("state/journal/volumes")));
    EXPECT_FALSE(sys::Exists(script_.target));
    if (HasFailure()) return;
  }
  EXPECT_GT(step, 30) << "the script has fewer steps than it should";
}

INSTANTIATE_TEST_SUITE_P(Formats, CrashTest, testing::Values("ext4", "xfs", ""));

}  // namespace
}  // namespace ashlar::node_agent
