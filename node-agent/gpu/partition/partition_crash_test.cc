// GpuPartitions for a long time, and killed at every step. Too many calls for sanitizers, which see
// the same code in gpu_partitions_test.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "absl/strings/match.h"
#include "gmock/gmock.h"
#include "lib/base/status_macros.h"
#include "node-agent/gpu/partition/testing/partition_lab.h"

namespace ashlar::node_agent {
namespace {

using ::testing::IsEmpty;

TEST_F(PartitionLab, TwoHundredTimesLeaveNothing) {
  const std::vector<GpuPartitionArgs> places = {Part(0, "1g.10gb", 1), Part(6, "1g.10gb", 1),
                                                Part(2, "2g.20gb", 2), Part(4)};
  for (int round = 0; round < 50; ++round) {
    for (const GpuPartitionArgs& place : places) {
      const auto part = Ensure("c", place);
      ASSERT_EQ(part.status().code() == absl::StatusCode::kOk || place.start == 4, true)
          << part.status();
      if (place.start == 4) {
        EXPECT_THAT(part.status().message(),
                    testing::HasSubstr("Taken: claim c has 1g.10gb in the way"));
      }
    }
    ASSERT_EQ(Instances(), 3u);
    ASSERT_EQ(Release("c"), absl::OkStatus());
    ASSERT_TRUE(Ensure("d", places[3]).ok());
    ASSERT_EQ(Release("d"), absl::OkStatus());
    ASSERT_EQ(Instances(), 0u);
  }
  EXPECT_THAT(List(), IsEmpty());
  EXPECT_EQ(Records(), 0);
}

// The agent is killed before and after each record and each step.
class GpuPartitionsCrashTest : public PartitionLab {
 protected:
  absl::Status Script(GpuPartitions& parts) {
    for (const auto& [claim, part] : {std::pair("c", Part(0, "3g.40gb", 4, 0, 300)),
                                      std::pair("d", Part(4, "3g.40gb", 4, 3600, 400))})
      ASHLAR_RETURN_IF_ERROR(parts.Ensure({}, claim, part).status());
    ASHLAR_RETURN_IF_ERROR(parts.Release({}, "c"));
    ASHLAR_RETURN_IF_ERROR(parts.Release({}, "d"));
    ASHLAR_RETURN_IF_ERROR(parts.Ensure({}, "e", Part(4)).status());
    return parts.Release({}, "e");
  }

  // What the GPU may draw with these parts.
  static int PowerOf(const std::vector<GpuPartition>& parts) {
    int most = 0;
    for (const GpuPartition& part : parts)
      if (!part.claim.empty()) most = std::max(most, part.power_watts);
    return most == 0 ? 650 : most;
  }

  // "": the script ended.
  std::string RunAndKill(int fatal) {
    int names[2];
    EXPECT_EQ(pipe(names), 0);
    const pid_t child = fork();
    if (child == 0) {
      Agent agent(session_, journal_, boot_);
      int step = 0;
      agent.hook = [&](const std::string& name) {
        if (step++ != fatal) return;
        if (write(names[1], name.data(), name.size()) > 0) kill(getpid(), SIGKILL);
      };
      const bool good = agent.Recover().ok() && Script(agent.parts).ok();
      _exit(good ? 0 : 1);
    }
    close(names[1]);
    int status = 0;
    waitpid(child, &status, 0);
    char buffer[64];
    const ssize_t named = read(names[0], buffer, sizeof buffer);
    close(names[0]);
    const std::string killed_at(buffer, static_cast<size_t>(std::max<ssize_t>(0, named)));
    EXPECT_TRUE(killed_at.empty() ? WIFEXITED(status) && WEXITSTATUS(status) == 0
                                  : WIFSIGNALED(status));
    return killed_at;
  }
};

TEST_F(GpuPartitionsCrashTest, WhereverTheAgentIsKilledNothingIsLeft) {
  // Not the default: whatever happens, it is what an administrator had set.
  Change([](fake_nvml::Json& state) { state["gpus"][0]["powerLimit"] = 650000; });
  int steps = 0;
  for (std::string killed_at = "start"; !killed_at.empty(); ++steps) {
    agent_.reset();
    killed_at = RunAndKill(steps);
    SCOPED_TRACE("killed at " + std::to_string(steps) + " " + killed_at);
    Restart();
    agent_->parts.Start();
    // What was begun is taken back; what is listed is there, and nothing else is.
    Until([&](const auto& list) {
      size_t whole = 0;
      for (const GpuPartition& part : list) whole += part.mig_device.empty() ? 0 : 1;
      return whole == list.size() && whole == Instances() &&
             (whole > 0 || Mig()["current"] == false) && Power() == PowerOf(list);
    });
    ASSERT_EQ(Release("e"), absl::OkStatus());
    ASSERT_EQ(Script(agent_->parts), absl::OkStatus());
    UntilEmpty();
    EXPECT_EQ(Instances(), 0u);
    Until([&](const auto&) { return Mig()["current"] == false; });
    Until([&](const auto&) { return Power() == 650; });
    Until([&](const auto&) { return Records() == 0; });
    if (HasFailure()) return;
  }
  EXPECT_GT(steps, 60) << "the script has fewer steps than it should";
}

}  // namespace
}  // namespace ashlar::node_agent

int main(int argc, char** argv) { return ashlar::node_agent::PartitionLabMain(argc, argv); }
