// The agent is killed before each system call of the life of an inline volume that changes
// something, and before each of those of mkfs. Then the pod may have gone without a word: the next
// agent must leave nothing that no pod sees, and everything that one does.
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "lib/base/log.h"
#include "lib/system/files.h"
#include "node-agent/testing/loop_lab.h"
#include "node-agent/testing/syscall_killer.h"
#include "node-agent/volume/inline_volumes.h"

namespace ashlar::node_agent {
namespace {

class NoPods final : public PodDevices {
 public:
  absl::StatusOr<std::vector<PodDevice>> Find(const CallContext&, const PodId&) override {
    return absl::UnavailableError("there is no kubelet");
  }
};

// The stack with what makes inline volumes.
struct InlineStack {
  InlineStack(const LoopLab& lab, std::string pool)
      : agent(lab.Path("state"), {lab.Path("kubelet"), lab.Path("state/inline")}),
        inline_volumes(agent.volumes, agent.pools, near, lab.Path("state/inline"), agent.clock,
                       [] {}),
        pool_path(std::move(pool)) {}

  absl::Status Start() {
    if (absl::Status started = agent.Start(); !started.ok()) return started;
    PoolSpec spec;
    spec.name = "p";
    spec.uid = "uid-1";
    spec.directory = DirectorySource{pool_path, 0};
    spec.inline_volume_max_bytes = 64 * kMiB;
    const absl::StatusOr<PoolStatus> pool = agent.pools.Ensure({}, spec);
    if (!pool.ok() || !pool->ready) return absl::InternalError("the pool is not ready");
    return agent.volumes.Adopt({}, "p");
  }

  AgentStack agent;
  NoPods pods;
  NearDrives near{pods, pods, [] { return NearFacts{}; }};
  InlineVolumes inline_volumes;
  const std::string pool_path;
};

class InlineCrashTest : public testing::Test {
 protected:
  void SetUp() override {
    ASHLAR_NEEDS_LOOP_LAB();
    SetLogLevel(LogLevel::kError);
    lab_ = std::make_unique<LoopLab>();
    pool_ = lab_->MakeFilesystem("xfs", 512 * kMiB);
    args_.id = "csi-0123456789abcdef";
    args_.target_path = lab_->Path("kubelet/pods/1/mount");
    args_.pool = "p";
    args_.size_bytes = 20 * kMiB;
    args_.fs_type = "ext4";
  }
  void TearDown() override { SetLogLevel(LogLevel::kInfo); }

  absl::Status Live(const std::function<void()>& acknowledge) {
    InlineStack stack(*lab_, pool_);
    if (absl::Status status = stack.Start(); !status.ok()) return status;
    if (absl::Status status = stack.inline_volumes.Publish({}, args_); !status.ok()) return status;
    acknowledge();
    if (absl::Status status = stack.inline_volumes.Unpublish({}, args_.id, args_.target_path);
        !status.ok())
      return status;
    acknowledge();
    return absl::OkStatus();
  }
  bool Published() {
    sys::KernelMountTable mounts;
    return mounts.Find(args_.target_path).ok();
  }
  void ExpectNothing() {
    EXPECT_EQ(lab_->LoopsBelow(pool_), 0) << "a loop device leaks";
    EXPECT_EQ(lab_->MountsBelow(lab_->Path("kubelet")), 0) << "a mount leaks";
    EXPECT_EQ(lab_->MountsBelow(lab_->Path("state")), 0) << "a mount leaks";
    EXPECT_TRUE(std::filesystem::is_empty(pool_ + "/volumes")) << "bytes leak";
    EXPECT_TRUE(std::filesystem::is_empty(lab_->Path("state/journal/volumes")));
    const std::string staging = lab_->Path("state/inline");
    EXPECT_TRUE(!sys::Exists(staging) || std::filesystem::is_empty(staging));
  }
  // What an agent that starts now makes of it, if nobody asks for the volume again.
  void CheckNextAgent(const KilledRun& run) {
    InlineStack stack(*lab_, pool_);
    ASSERT_EQ(stack.Start(), absl::OkStatus());
    if (run.acknowledged != 1) {
      EXPECT_FALSE(Published());
      EXPECT_TRUE(stack.agent.volumes.List().empty());
      return ExpectNothing();
    }
    // Published, and perhaps being taken back: it is there as a whole or not at all.
    const std::vector<VolumeStatus> list = stack.agent.volumes.List();
    EXPECT_EQ(list.size(), Published() ? 1u : 0u);
    if (!Published()) ExpectNothing();
  }

  std::unique_ptr<LoopLab> lab_;
  std::string pool_;
  InlineVolumeArgs args_;
};

TEST_F(InlineCrashTest, NothingThatNoPodSeesIsLeftWhereverTheProcessIsKilled) {
  ASSERT_EQ(Live([] {}), absl::OkStatus());  // folders are made once
  int fatal = 0, in_tool = 0, published = 0;
  for (;; ++fatal) {
    const KilledRun run = RunAndKill(
        fatal, [&](const std::function<void()>& acknowledge) { return Live(acknowledge).ok(); });
    if (run.call.empty()) {
      EXPECT_TRUE(run.succeeded);
      break;
    }
    in_tool += run.in_tool ? 1 : 0;
    SCOPED_TRACE(absl::StrCat("killed before call ", fatal, ", ", run.call,
                              run.in_tool ? " of a tool" : "", ", acknowledged ",
                              run.acknowledged));
    CheckNextAgent(run);
    published += Published() ? 1 : 0;
    // Whoever asked repeats the calls.
    ASSERT_EQ(Live([] {}), absl::OkStatus());
    ExpectNothing();
    if (HasFailure()) return;
  }
  EXPECT_GT(fatal, 20) << "the volume's life has fewer steps than it should";
  EXPECT_GT(in_tool, 0);
  EXPECT_GT(published, 0) << "no kill left a published volume";
}

}  // namespace
}  // namespace ashlar::node_agent
