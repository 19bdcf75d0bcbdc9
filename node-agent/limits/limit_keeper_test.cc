#include "node-agent/limits/limit_keeper.h"

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/base/testing/simulated_clock.h"
#include "lib/base/testing/temporary_directory.h"
#include "lib/system/files.h"

namespace ashlar::node_agent {
namespace {

using ::testing::HasSubstr;

constexpr char kFile[] = "blkio.throttle.read_bps_device";

std::string TargetOf(const std::string& pod) {
  return absl::StrCat("/var/lib/kubelet/pods/", pod, "/volumes/kubernetes.io~csi/pv/mount");
}

// A tree of control groups in a temporary directory, and a keeper over it.
class LimitKeeperTest : public ::testing::Test {
 protected:
  void TearDown() override { keeper_.Stop(); }

  std::string Group(const std::string& name) const { return tree_.path() + "/kubepods/" + name; }
  void MakeGroup(const std::string& name) {
    ASSERT_EQ(sys::EnsureDirectory(Group(name)), absl::OkStatus());
    for (const char* file :
         {"read_bps_device", "write_bps_device", "read_iops_device", "write_iops_device"})
      ASSERT_EQ(sys::WritePage(Group(name) + "/blkio.throttle." + file, ""), absl::OkStatus());
  }
  std::string Limit(const std::string& group) const {
    const std::string text = sys::ReadFile(Group(group) + "/" + kFile).value_or("gone");
    return text.substr(0, text.find('\n'));
  }
  VolumeUse Use(const std::string& id, uint32_t minor, std::vector<std::string> pods,
                int64_t read_bps) {
    VolumeUse use;
    use.id = id;
    use.device = {7, minor};
    for (const std::string& pod : pods) use.targets.push_back(TargetOf(pod));
    use.attributes.limits.read_bytes_per_second = read_bps;
    return use;
  }
  void SetUses(std::vector<VolumeUse> uses) {
    {
      MutexLock lock(mu_);
      uses_ = std::move(uses);
    }
    ASSERT_EQ(keeper_.Refresh({}), absl::OkStatus());
  }
  // Lets the keeper look again by itself.
  void Wait() {
    clock_.AwaitWaiters(1);
    clock_.Advance(absl::Seconds(1));
    clock_.AwaitWaiters(1);
  }

  const TemporaryDirectory tree_;
  SimulatedClock clock_;
  metrics::Registry registry_;
  BlkioCgroups groups_{tree_.path()};
  Mutex mu_;
  std::vector<VolumeUse> uses_ ABSL_GUARDED_BY(mu_);
  int changes_ ABSL_GUARDED_BY(mu_) = 0;
  LimitKeeper keeper_{groups_,
                      [this] {
                        MutexLock lock(mu_);
                        return uses_;
                      },
                      [this] {
                        MutexLock lock(mu_);
                        ++changes_;
                      },
                      clock_, registry_};
};

TEST_F(LimitKeeperTest, EachPodOfAVolumeIsLimitedWithItsContainers) {
  MakeGroup("poda");
  MakeGroup("poda/c1");
  MakeGroup("podb");
  MakeGroup("podc");
  keeper_.Start();
  SetUses({Use("v1", 1, {"a", "b"}, 1000)});
  EXPECT_EQ(Limit("poda"), "7:1 1000");
  EXPECT_EQ(Limit("poda/c1"), "7:1 1000");
  EXPECT_EQ(Limit("podb"), "7:1 1000");
  EXPECT_EQ(Limit("podc"), "");
  EXPECT_EQ(keeper_.Problem("v1"), "");
  EXPECT_THAT(registry_.Text(), HasSubstr("ashlar_agent_limited_groups 3"));
}

TEST_F(LimitKeeperTest, AChangeRewritesAndTheEndOfLimitsClears) {
  MakeGroup("poda");
  keeper_.Start();
  SetUses({Use("v1", 1, {"a"}, 1000)});
  SetUses({Use("v1", 1, {"a"}, 2000)});
  EXPECT_EQ(Limit("poda"), "7:1 2000");
  SetUses({Use("v1", 1, {"a"}, 0)});
  EXPECT_EQ(Limit("poda"), "7:1 0");
}

TEST_F(LimitKeeperTest, AVolumeThatWasUnpublishedLeavesNoLimitInAPodThatLivesOn) {
  MakeGroup("poda");
  keeper_.Start();
  SetUses({Use("v1", 1, {"a"}, 1000)});
  SetUses({});
  EXPECT_EQ(Limit("poda"), "7:1 0");
}

TEST_F(LimitKeeperTest, PodsOfAResourceClaimAreLimitedAsTheyComeAndGo) {
  MakeGroup("poda");
  MakeGroup("podb");
  keeper_.Start();
  VolumeUse use = Use("v", 1, {}, 1000);
  use.targets = {"/var/lib/ashlar/claims/shown/u-0"};
  use.claim_pods[use.targets[0]] = {"a"};
  SetUses({use});
  EXPECT_EQ(Limit("poda"), "7:1 1000");
  EXPECT_EQ(Limit("podb"), "");
  EXPECT_EQ(keeper_.Problem("v"), "");
  use.claim_pods[use.targets[0]] = {"b"};
  SetUses({use});
  EXPECT_EQ(Limit("podb"), "7:1 1000");
  EXPECT_EQ(Limit("poda"), "7:1 0");
}

TEST_F(LimitKeeperTest, APodWhoseGroupComesLaterIsToldOfAndLimitedThen) {
  keeper_.Start();
  SetUses({Use("v1", 1, {"a"}, 1000)});
  EXPECT_EQ(keeper_.Problem("v1"), "");  // it may be starting
  for (int i = 0; i < 11; ++i) Wait();
  EXPECT_THAT(keeper_.Problem("v1"), HasSubstr("no control group of pod a"));
  EXPECT_THAT(registry_.Text(), HasSubstr("ashlar_agent_unlimited_volumes 1"));
  MakeGroup("poda");
  Wait();
  EXPECT_EQ(Limit("poda"), "7:1 1000");
  EXPECT_EQ(keeper_.Problem("v1"), "");
  EXPECT_THAT(registry_.Text(), HasSubstr("ashlar_agent_unlimited_volumes 0"));
  MutexLock lock(mu_);
  EXPECT_EQ(changes_, 2);
}

TEST_F(LimitKeeperTest, AContainerThatStartsLaterIsLimited) {
  MakeGroup("poda");
  keeper_.Start();
  SetUses({Use("v1", 1, {"a"}, 1000)});
  MakeGroup("poda/c2");
  Wait();
  EXPECT_EQ(Limit("poda/c2"), "7:1 1000");
}

TEST_F(LimitKeeperTest, WhatAnEarlierProcessWroteIsClearedAtTheStart) {
  MakeGroup("poda");
  ASSERT_EQ(sys::WriteExisting(Group("poda") + "/" + kFile, "7:1 1000"), absl::OkStatus());
  {
    MutexLock lock(mu_);
    uses_ = {Use("v1", 1, {"a"}, 0)};
  }
  keeper_.Start();
  ASSERT_EQ(keeper_.Refresh({}), absl::OkStatus());
  EXPECT_EQ(Limit("poda"), "7:1 0");
}

TEST_F(LimitKeeperTest, AVolumeWithoutLimitsTouchesNoGroup) {
  MakeGroup("poda");
  keeper_.Start();
  SetUses({});  // the first pass, which writes everything
  SetUses({Use("v1", 1, {"a"}, 0)});
  EXPECT_EQ(Limit("poda"), "");
  EXPECT_EQ(keeper_.Problem("v1"), "");
}

TEST_F(LimitKeeperTest, ATargetThatIsOfNoPodIsNamed) {
  keeper_.Start();
  VolumeUse use = Use("v1", 1, {}, 1000);
  use.targets = {"/mnt/data"};
  SetUses({use});
  EXPECT_THAT(keeper_.Problem("v1"), HasSubstr("/mnt/data is not of a pod"));
}

TEST_F(LimitKeeperTest, AVolumeWithoutADeviceOfItsOwnCannotBeLimitedAndSaysSo) {
  MakeGroup("poda");
  keeper_.Start();
  VolumeUse use = Use("v1", 0, {"a"}, 1000);
  use.device = {};
  SetUses({use});
  EXPECT_THAT(keeper_.Problem("v1"), HasSubstr("no device of the volume's own"));
}

TEST_F(LimitKeeperTest, RefreshEndsWithItsContext) {
  CallContext context;
  std::stop_source source;
  source.request_stop();
  context.stop = source.get_token();
  EXPECT_TRUE(absl::IsCancelled(keeper_.Refresh(context)));  // the keeper was not started
}

}  // namespace
}  // namespace ashlar::node_agent
