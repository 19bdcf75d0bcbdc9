// The agent is killed before each system call of the life of a claim that changes something. The
// kubelet then asks again, or takes the claim back, or the controller forgets it: the next agent
// must leave nothing that no claim has, and everything that was acknowledged.
#include <filesystem>
#include <memory>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "lib/base/log.h"
#include "lib/system/files.h"
#include "node-agent/claims/claims.h"
#include "node-agent/testing/loop_lab.h"
#include "node-agent/testing/syscall_killer.h"

namespace ashlar::node_agent {
namespace {

struct ClaimAgent {
  ClaimAgent(const LoopLab& lab, std::string pool)
      : agent(lab.Path("state"), {lab.Path("state/claims")}),
        records(lab.Path("state/records")),
        volumes(agent.volumes, lab.Path("state/claims")),
        changes({}, lab.Path("state"), agent.clock),
        parts_journal(lab.Path("state/parts")),
        parts({.boot_id = "boot-1"}, changes, parts_journal, agent.clock, [] {}),
        gpus([] { return std::make_shared<const GpuReport>(); }, parts, ""),
        cdi(lab.Path("cdi")),
        claims(records, volumes, gpus, cdi, agent.clock, "boot-1", [] {}),
        pool_path(std::move(pool)) {}

  absl::Status Start() {
    if (absl::Status started = agent.Start(); !started.ok()) return started;
    const auto pool = agent.EnsureDirectoryPool(pool_path);
    if (!pool.ok() || !pool->ready) return absl::InternalError("the pool is not ready");
    return claims.Recover({});
  }

  AgentStack agent;
  ClaimJournal records;
  ClaimVolumes volumes;
  SessionGpuChanges changes;
  FilePartitionJournal parts_journal;
  GpuPartitions parts;
  ClaimGpus gpus;
  CdiDirectory cdi;
  Claims claims;
  const std::string pool_path;
};

class ClaimsCrashTest : public testing::Test {
 protected:
  void SetUp() override {
    ASHLAR_NEEDS_LOOP_LAB();
    SetLogLevel(LogLevel::kError);
    lab_ = std::make_unique<LoopLab>();
    pool_ = lab_->MakeFilesystem("xfs", 512 * kMiB);
    ClaimAgent agent(*lab_, pool_);
    ASSERT_EQ(agent.Start(), absl::OkStatus());
    ASSERT_EQ(
        agent.agent.volumes.Ensure({}, {"data", "p", 20 * kMiB, VolumeMode::kFilesystem, "ext4"})
            .status(),
        absl::OkStatus());
    ASSERT_EQ(
        agent.agent.volumes.Ensure({}, {"raw", "p", 20 * kMiB, VolumeMode::kBlock, ""}).status(),
        absl::OkStatus());
  }
  void TearDown() override { SetLogLevel(LogLevel::kInfo); }

  absl::Status Live(const std::function<void()>& acknowledge) {
    ClaimAgent agent(*lab_, pool_);
    absl::Status status = agent.Start();
    const auto step = [&](const std::function<absl::Status()>& call) {
      if (!status.ok()) return;
      status = call();
      if (status.ok()) acknowledge();
    };
    step([&] { return agent.claims.Ensure({}, facts_).status(); });
    step([&] { return agent.claims.Prepare({}, kNvmeDriver, "u", absl::InfinitePast()).status(); });
    step([&] { return agent.claims.Unprepare({}, kNvmeDriver, "u", absl::InfinitePast()); });
    step([&] { return agent.claims.Remove({}, "u"); });
    return status;
  }
  bool File() { return sys::Exists(lab_->Path("cdi/nvme.ashlar.dev-claim_u.json")); }
  bool Shown(const char* place) {
    sys::KernelMountTable mounts;
    return mounts.Find(absl::StrCat(lab_->Path("state/claims/shown/"), place)).ok();
  }
  void ExpectNothing() {
    EXPECT_EQ(lab_->LoopsBelow(pool_), 0) << "a loop device leaks";
    EXPECT_EQ(lab_->MountsBelow(lab_->Path("state")), 0) << "a mount leaks";
    for (const char* folder : {"cdi", "state/claims/shown", "state/claims/staged"})
      EXPECT_TRUE(!sys::Exists(lab_->Path(folder)) || std::filesystem::is_empty(lab_->Path(folder)))
          << folder;
  }
  void CheckNextAgent(const KilledRun& run) {
    ClaimAgent agent(*lab_, pool_);
    ASSERT_EQ(agent.Start(), absl::OkStatus());
    const std::vector<ClaimStatus> list = agent.claims.List();
    if (run.acknowledged >= 1 && run.acknowledged <= 2) {
      ASSERT_EQ(list.size(), 1u) << "a claim that was told is lost";
      EXPECT_EQ(list[0].devices.size(), 2u);
    }
    const bool prepared = !list.empty() && !list[0].devices[0].cdi_devices.empty();
    if (prepared) {
      EXPECT_TRUE(File() && Shown("u-0") && Shown("u-1")) << "what is prepared is not there";
    }
    if (list.empty() || !list[0].prepared) ExpectNothing();
    // The pod goes: the kubelet takes the claim back, and the controller forgets it.
    EXPECT_EQ(agent.claims.Unprepare({}, kNvmeDriver, "u", absl::InfinitePast()), absl::OkStatus());
    EXPECT_EQ(agent.claims.Remove({}, "u"), absl::OkStatus());
    ExpectNothing();
    EXPECT_TRUE(std::filesystem::is_empty(lab_->Path("state/records")));
  }

  const ClaimFacts facts_{
      "u",
      "space",
      "name",
      {{kNvmeDriver, "data", "n1", "d", "", ClaimVolume{"data", "/data", false}},
       {kNvmeDriver, "raw", "n1", "d", "", ClaimVolume{"raw", "/dev/raw", true}}}};
  std::unique_ptr<LoopLab> lab_;
  std::string pool_;
};

TEST_F(ClaimsCrashTest, NothingIsLostAndNothingLeaksWhereverTheProcessIsKilled) {
  ASSERT_EQ(Live([] {}), absl::OkStatus());  // folders are made once
  int fatal = 0;
  for (;; ++fatal) {
    const KilledRun run = RunAndKill(
        fatal, [&](const std::function<void()>& acknowledge) { return Live(acknowledge).ok(); });
    if (run.call.empty()) {
      EXPECT_TRUE(run.succeeded);
      break;
    }
    SCOPED_TRACE(absl::StrCat("killed before call ", fatal, ", ", run.call,
                              run.in_tool ? " of a tool" : "", ", acknowledged ",
                              run.acknowledged));
    CheckNextAgent(run);
    if (HasFailure()) return;
  }
  EXPECT_GT(fatal, 40) << "the claim's life has fewer steps than it should";
}

}  // namespace
}  // namespace ashlar::node_agent
