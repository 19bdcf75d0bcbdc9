// Limits and trims on a real kernel: control groups, loop devices, filesystems.
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/system/files.h"
#include "lib/system/filesystem_trim.h"
#include "node-agent/limits/limit_keeper.h"
#include "node-agent/testing/loop_lab.h"

namespace ashlar::node_agent {
namespace {

constexpr char kRoot[] = "/sys/fs/cgroup";
constexpr char kPod[] = "0b9a1c2d-1111-2222-3333-444455556666";

#define ASSERT_DONE(expression)                                \
  do {                                                         \
    const absl::Status& got_status = (expression);             \
    ASSERT_TRUE(got_status.ok()) << #expression << got_status; \
  } while (false)

class LimitsLoopTest : public testing::Test {
 protected:
  void SetUp() override {
    ASHLAR_NEEDS_LOOP_LAB();
    lab_ = std::make_unique<LoopLab>();
    pool_ = lab_->MakeFilesystem("xfs", int64_t{1} << 30);
    Restart();
    PoolSpec spec;
    spec.name = "p";
    spec.uid = "uid-1";
    spec.sparse = true;
    spec.directory = DirectorySource{pool_, 0};
    ASSERT_DONE(agent_->pools.Ensure({}, spec).status());
    ASSERT_DONE(agent_->volumes.Ensure({}, {"v", "p", 64 * kMiB, VolumeMode::kFilesystem, "ext4"})
                    .status());
    ASSERT_DONE(agent_->volumes.Stage({}, {"v", Staging(), VolumeMode::kFilesystem, "ext4", {}}));
    ASSERT_DONE(agent_->volumes.Publish(
        {}, {"v", Staging(), Target(), VolumeMode::kFilesystem, false, {}, false}));
  }
  void TearDown() override {
    if (keeper_ != nullptr) keeper_->Stop();
    std::error_code ignored;
    for (const std::string& group : {container_, pod_, parent_})
      if (!group.empty()) std::filesystem::remove(group, ignored);
  }
  // An agent that was restarted.
  void Restart() {
    keeper_.reset();
    agent_.reset();
    agent_ = std::make_unique<AgentStack>(lab_->Path("state"),
                                          std::vector<std::string>{lab_->Path("kubelet")});
    ASSERT_DONE(agent_->Start());
    registry_ = std::make_unique<metrics::Registry>();
    keeper_ = std::make_unique<LimitKeeper>(
        *groups_, [this] { return agent_->volumes.Uses(); }, [] {}, clock_, *registry_);
  }
  // The control groups of a pod with one container; false if this machine cannot limit block I/O.
  bool MakePodGroups() {
    if (!absl::IsNotFound(groups_->GroupsOf(kPod).status())) return false;
    parent_ = absl::StrCat(kRoot, sys::Exists(absl::StrCat(kRoot, "/blkio")) ? "/blkio" : "",
                           "/ashlar-limits-", getpid());
    pod_ = absl::StrCat(parent_, "/pod", kPod);
    container_ = pod_ + "/container";
    if (!sys::EnsureDirectory(container_).ok()) return false;
    // Version 2 limits I/O where the groups above say so, as a kubelet has them do.
    for (const std::string& above : {std::string(kRoot), parent_})
      if (const std::string control = above + "/cgroup.subtree_control"; sys::Exists(control))
        if (!sys::WriteExisting(control, "+io").ok()) return false;
    return true;
  }
  absl::Status Modify(const VolumeAttributes& attributes) {
    if (auto status = agent_->volumes.Modify({}, "v", attributes); !status.ok())
      return status.status();
    return keeper_->Refresh({});
  }
  // MiB per second of direct I/O on the volume by a process of the container.
  double Rate(int mib, bool write) {
    const absl::Time began = clock_.Now();
    const pid_t child = fork();
    if (child == 0) _exit(InContainer(mib, write) ? 0 : 1);
    int status = 0;
    waitpid(child, &status, 0);
    EXPECT_EQ(status, 0);
    return mib / absl::ToDoubleSeconds(clock_.Now() - began);
  }
  bool InContainer(int mib, bool write) const {
    if (!sys::WriteExisting(container_ + "/cgroup.procs", absl::StrCat(getpid())).ok())
      return false;
    const int fd = open((Target() + "/file").c_str(), O_RDWR | O_CREAT | O_DIRECT, 0600);
    alignas(4096) static char buffer[64 << 10] = {};
    for (int i = 0; i < mib * 16; ++i) {
      const ssize_t done = write ? pwrite(fd, buffer, sizeof buffer, i * (64 << 10))
                                 : pread(fd, buffer, sizeof buffer, i * (64 << 10));
      if (done != sizeof buffer) return false;
    }
    return true;
  }
  std::string Staging() const { return lab_->Path("kubelet") + "/staging"; }
  std::string Target() const {
    return absl::StrCat(lab_->Path("kubelet"), "/pods/", kPod,
                        "/volumes/kubernetes.io~csi/pv/mount");
  }

  RealClock clock_;
  std::unique_ptr<LoopLab> lab_;
  std::string pool_, parent_, pod_, container_;
  std::unique_ptr<IoCgroups> groups_ = FindIoCgroups(kRoot);
  std::unique_ptr<metrics::Registry> registry_;
  std::unique_ptr<AgentStack> agent_;
  std::unique_ptr<LimitKeeper> keeper_;
};

TEST_F(LimitsLoopTest, TheKernelKeepsWhatAVolumeIsLimitedToAndChangesItLive) {
  if (!MakePodGroups()) GTEST_SKIP() << groups_->GroupsOf(kPod).status();
  keeper_->Start();
  const double free_write = Rate(16, true), free_read = Rate(16, false);
  ASSERT_GT(std::min(free_write, free_read), 4) << "this machine is slower than the limits";
  ASSERT_DONE(Modify({{0, 0, 2 * kMiB, kMiB}, {}}));
  const double read = Rate(4, false), write = Rate(2, true);
  EXPECT_THAT(read, testing::AllOf(testing::Gt(0.8), testing::Lt(2.8)));
  EXPECT_THAT(write, testing::AllOf(testing::Gt(0.4), testing::Lt(1.4)));
  ASSERT_DONE(Modify({{32, 0, 0, 0}, {}}));  // requests of 64 KiB: 2 MiB/s
  const double by_requests = Rate(4, false);
  EXPECT_THAT(by_requests, testing::AllOf(testing::Gt(0.8), testing::Lt(2.8)));
  ASSERT_DONE(Modify({}));
  const double again = Rate(16, false);
  EXPECT_GT(again, 4);
  printf(
      "MiB/s: free %.0f read %.0f written; limited to 2 and 1: %.1f and %.1f; to 32 reads of "
      "64 KiB: %.1f; free again %.0f\n",
      free_read, free_write, read, write, by_requests, again);
}

TEST_F(LimitsLoopTest, ARestartedAgentBringsLimitsInForceAgainAndClearsWhatIsNotWanted) {
  if (!MakePodGroups()) GTEST_SKIP() << groups_->GroupsOf(kPod).status();
  keeper_->Start();
  ASSERT_GT(Rate(8, true), 4) << "this machine is slower than the limits";
  ASSERT_DONE(Modify({{0, 0, kMiB, 0}, {}}));
  ASSERT_EQ(agent_->volumes.Uses().size(), 1u);
  const VolumeUse use = agent_->volumes.Uses()[0];
  // While no agent runs somebody takes the limits away.
  keeper_->Stop();
  const auto groups = groups_->GroupsOf(kPod);
  ASSERT_DONE(groups.status());
  for (const std::string& group : *groups) ASSERT_DONE(groups_->Limit(group, use.device, {}));
  EXPECT_GT(Rate(8, false), 3);
  Restart();
  keeper_->Start();
  ASSERT_DONE(keeper_->Refresh({}));
  EXPECT_LT(Rate(2, false), 1.4);
  // A limit of an agent that died before it could clear it.
  keeper_->Stop();
  ASSERT_DONE(agent_->volumes.Modify({}, "v", {}).status());
  Restart();
  keeper_->Start();
  ASSERT_DONE(keeper_->Refresh({}));
  EXPECT_GT(Rate(8, false), 3);
}

TEST_F(LimitsLoopTest, ATrimOfAMountedFilesystemGivesBytesBackToThePool) {
  const VolumeUse use = agent_->volumes.Uses()[0];
  ASSERT_TRUE(use.returns_space);
  const std::string image = agent_->volumes.List()[0].path;
  {
    std::ofstream file(Target() + "/big");
    file << std::string(32 << 20, 'x');
  }
  sync();
  const int64_t full = sys::StatFile(image)->used_bytes;
  std::filesystem::remove(Target() + "/big");
  sync();
  EXPECT_GE(sys::StatFile(image)->used_bytes, full - 4 * kMiB);
  sys::KernelFilesystemTrim trim;
  const auto trimmed = trim.Trim(Staging(), use.device.major, use.device.minor, 0, 1 << 30);
  ASSERT_DONE(trimmed.status());
  EXPECT_GE(*trimmed, 32 * kMiB);
  EXPECT_LT(sys::StatFile(image)->used_bytes, full - 24 * kMiB);
  const auto behind =
      trim.Trim(Staging(), use.device.major, use.device.minor, int64_t{1} << 40, 1 << 30);
  EXPECT_TRUE(absl::IsOutOfRange(behind.status())) << behind.status();
  const auto other = trim.Trim(lab_->root(), use.device.major, use.device.minor, 0, 1 << 30);
  EXPECT_TRUE(absl::IsNotFound(other.status())) << other.status();
}

}  // namespace
}  // namespace ashlar::node_agent
