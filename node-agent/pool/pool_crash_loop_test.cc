// A process that works on a pool is killed before each of its system calls that change something,
// and before each of those of mkfs. The next process must find the pool's drive usable, formatted
// anew only while nothing can be on it, and every acknowledged volume.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <set>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "lib/base/log.h"
#include "lib/system/block_probe.h"
#include "lib/system/files.h"
#include "node-agent/testing/loop_lab.h"
#include "node-agent/testing/syscall_killer.h"

namespace ashlar::node_agent {
namespace {

constexpr char kUid[] = "0f8fad5b-d9cb-469f-a165-70867728950e";
constexpr char kOtherUid[] = "11111111-d9cb-469f-a165-70867728950e";
constexpr int64_t kDriveBytes = 512 * kMiB;

class PoolCrashTest : public testing::Test {
 protected:
  void SetUp() override {
    ASHLAR_NEEDS_LOOP_LAB();
    SetLogLevel(LogLevel::kError);
    lab_ = std::make_unique<LoopLab>();
  }
  void TearDown() override { SetLogLevel(LogLevel::kInfo); }

  std::unique_ptr<AgentStack> StartAgent() {
    auto agent =
        std::make_unique<AgentStack>(lab_->Path("state"), std::vector{lab_->Path("kubelet")});
    const absl::Status started = agent->Start();
    EXPECT_EQ(started, absl::OkStatus());
    return started.ok() ? std::move(agent) : nullptr;
  }
  PoolSpec OnDrives(const std::string& uid = kUid) const {
    PoolSpec spec;
    spec.name = "p";
    spec.uid = uid;
    spec.devices.emplace();
    spec.devices->paths = drives_;
    return spec;
  }
  PoolSpec InDirectory() const {
    PoolSpec spec;
    spec.name = "p";
    spec.uid = kUid;
    spec.directory = DirectorySource{lab_->Path("fs1/pool"), 0};
    return spec;
  }
  static absl::Status EnsureReady(AgentStack& agent, const PoolSpec& spec) {
    const absl::StatusOr<PoolStatus> status = agent.pools.Ensure({}, spec);
    if (!status.ok()) return status.status();
    if (!status->ready)
      return absl::InternalError(absl::StrCat(status->reason, ": ", status->message));
    return agent.volumes.Adopt({}, spec.name);
  }
  // All of a pool's life; each part in turn is acknowledged.
  absl::Status Live(const PoolSpec& spec, const std::function<void()>& acknowledge) {
    auto agent = StartAgent();
    if (agent == nullptr) return absl::InternalError("the agent did not start");
    if (auto status = EnsureReady(*agent, spec); !status.ok()) return status;
    acknowledge();
    if (auto status = agent->volumes.Ensure({}, {"v", "p", kMiB, VolumeMode::kBlock, ""}).status();
        !status.ok())
      return status;
    acknowledge();
    agent.reset();
    agent = StartAgent();  // adopts
    if (auto status = EnsureReady(*agent, spec); !status.ok()) return status;
    if (agent->volumes.List().size() != 1) return absl::DataLossError("the volume is gone");
    acknowledge();
    if (auto status = agent->volumes.Remove({}, "v"); !status.ok()) return status;
    acknowledge();
    if (auto status = agent->pools.Remove({}, "p"); !status.ok()) return status;
    acknowledge();
    return absl::OkStatus();
  }
  KilledRun LiveAndDie(int fatal, const PoolSpec& spec) {
    return RunAndKill(fatal, [&](const std::function<void()>& acknowledge) {
      return Live(spec, acknowledge).ok();
    });
  }
  void ExpectNoTrace() {
    EXPECT_EQ(lab_->MountsBelow(lab_->Path("state")), 0);
    EXPECT_TRUE(std::filesystem::is_empty(lab_->Path("state/journal/pools")));
    EXPECT_TRUE(std::filesystem::is_empty(lab_->Path("state/journal/volumes")));
  }
  static void Blank(const std::string& device) {
    const auto fd = sys::OpenFile(device, O_RDWR);
    ASSERT_TRUE(fd.ok()) << fd.status();
    ASSERT_EQ(fallocate(fd->get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, kDriveBytes), 0);
  }
  void RunEverywhere(const PoolSpec& spec, const std::function<void()>& afresh, bool formats);

  std::unique_ptr<LoopLab> lab_;
  std::vector<std::string> drives_;
};

void PoolCrashTest::RunEverywhere(const PoolSpec& spec, const std::function<void()>& afresh,
                                  bool formats) {
  int fatal = 0, in_tool = 0;
  for (;; ++fatal) {
    afresh();
    const KilledRun run = LiveAndDie(fatal, spec);
    if (run.call.empty()) {
      EXPECT_TRUE(run.succeeded);
      break;
    }
    in_tool += run.in_tool ? 1 : 0;
    SCOPED_TRACE(absl::StrCat("killed before call ", fatal, ", ", run.call,
                              run.in_tool ? " of a tool" : "", ", acknowledged ",
                              run.acknowledged));
    {
      const auto agent = StartAgent();
      ASSERT_NE(agent, nullptr);
      if (run.acknowledged == 2) {
        const std::vector<VolumeStatus> list = agent->volumes.List();
        ASSERT_EQ(list.size(), 1u) << "an acknowledged volume is lost";
        EXPECT_TRUE(list[0].healthy) << list[0].message;
      }
    }
    // Whoever asked repeats the calls, and goes on.
    ASSERT_EQ(Live(spec, [] {}), absl::OkStatus());
    ExpectNoTrace();
    if (HasFailure()) return;
  }
  EXPECT_GT(fatal, 25) << "the pool's life has fewer steps than it should";
  EXPECT_GE(in_tool, formats ? 10 : 0) << "mkfs has fewer steps than it should";
}

TEST_F(PoolCrashTest, ADriveIsNeverLostNorFormattedOverVolumesWhereverTheProcessIsKilled) {
  drives_ = {lab_->MakeDrive(kDriveBytes), lab_->MakeDrive(kDriveBytes)};
  RunEverywhere(
      OnDrives(),
      [&] {
        for (const std::string& drive : drives_) Blank(drive);
      },
      true);
  const std::set<std::string> uuids = {sys::ProbeSignature(drives_[0])->uuid,
                                       sys::ProbeSignature(drives_[1])->uuid};
  EXPECT_EQ(uuids.size(), 2u);
  EXPECT_EQ(uuids.count(kUid), 1u) << "the data of a drive stays";
}

TEST_F(PoolCrashTest, ADirectoryIsLeftAsItWasFoundWhereverTheProcessIsKilled) {
  const std::string filesystem = lab_->MakeFilesystem("xfs", kDriveBytes);
  ASSERT_EQ(filesystem, lab_->Path("fs1"));
  RunEverywhere(
      InDirectory(), [&] { std::filesystem::remove_all(InDirectory().directory->path); }, false);
  EXPECT_TRUE(std::filesystem::is_empty(InDirectory().directory->path));
}

// mkfs.xfs that does its work, and then fails.
class FailingMkfs {
 public:
  explicit FailingMkfs(const std::string& folder) : path_(getenv("PATH")) {
    std::filesystem::create_directories(folder);
    const std::string file = folder + "/mkfs.xfs";
    std::ofstream(file) << "#!/bin/sh\n/usr/sbin/mkfs.xfs \"$@\"\nexit 1\n";
    std::filesystem::permissions(file, std::filesystem::perms::owner_all);
    setenv("PATH", (folder + ":" + path_).c_str(), 1);
  }
  ~FailingMkfs() { setenv("PATH", path_.c_str(), 1); }

 private:
  const std::string path_;
};

TEST_F(PoolCrashTest, ADriveWhoseFormattingFailedIsFreeOnceThePoolIsRemoved) {
  drives_ = {lab_->MakeDrive(kDriveBytes)};
  const auto agent = StartAgent();
  {
    const FailingMkfs failing(lab_->Path("bin"));
    EXPECT_FALSE(EnsureReady(*agent, OnDrives()).ok());
  }
  ASSERT_EQ(sys::ProbeSignature(drives_[0])->type, "xfs");
  ASSERT_EQ(agent->pools.Remove({}, "p"), absl::OkStatus());
  EXPECT_EQ(sys::ProbeSignature(drives_[0])->type, "");
  EXPECT_EQ(EnsureReady(*agent, OnDrives(kOtherUid)), absl::OkStatus());
}

TEST_F(PoolCrashTest, TheDriveWhoseFormattingFailedIsFormattedAgain) {
  drives_ = {lab_->MakeDrive(kDriveBytes), lab_->MakeDrive(kDriveBytes)};
  std::sort(drives_.begin(), drives_.end());
  const auto agent = StartAgent();
  ASSERT_EQ(sys::RunChecked(agent->commands, {}, {"mkfs.ext4", "-q", drives_[0]}),
            absl::OkStatus());
  {
    const FailingMkfs failing(lab_->Path("bin"));
    EXPECT_FALSE(EnsureReady(*agent, OnDrives()).ok());
  }
  ASSERT_EQ(sys::ProbeSignature(drives_[1])->type, "xfs");
  Blank(drives_[0]);
  ASSERT_EQ(EnsureReady(*agent, OnDrives()), absl::OkStatus());
  EXPECT_EQ(sys::ProbeSignature(drives_[1])->uuid, kUid);
  EXPECT_EQ(sys::ProbeSignature(drives_[0])->type, "xfs");
  EXPECT_NE(sys::ProbeSignature(drives_[0])->uuid, kUid);
  EXPECT_EQ(agent->pools.Statuses().at(0).devices.size(), 2u);
}

TEST_F(PoolCrashTest, NoVolumeIsMadeWhileTheRecordSaysThatTheDriveIsBeingFormatted) {
  drives_ = {lab_->MakeDrive(kDriveBytes)};
  const std::string records = lab_->Path("state/journal/pools");
  {
    const auto agent = StartAgent();
    agent->hook = [&](const char* step) {
      if (step == std::string("after command")) std::filesystem::rename(records, records + ".away");
    };
    EXPECT_FALSE(EnsureReady(*agent, OnDrives()).ok());
    agent->hook = [](const char*) {};
    std::filesystem::rename(records + ".away", records);
    ASSERT_TRUE(agent->pools.RetryNotReady({}));
    ASSERT_EQ(agent->volumes.Ensure({}, {"v", "p", kMiB, VolumeMode::kBlock, ""}).status(),
              absl::OkStatus());
  }
  // As after a reboot.
  ASSERT_EQ(sys::KernelMountTable().Unmount(lab_->Path("state/pools/p")), absl::OkStatus());
  const auto agent = StartAgent();
  ASSERT_EQ(agent->volumes.List().size(), 1u);
  EXPECT_TRUE(agent->volumes.List()[0].healthy) << "the drive was formatted over a volume";
}

TEST_F(PoolCrashTest, ARemovalThatStoppedHalfwayCanBeRepeated) {
  drives_ = {lab_->MakeDrive(kDriveBytes)};
  const auto agent = StartAgent();
  ASSERT_EQ(EnsureReady(*agent, OnDrives()), absl::OkStatus());
  const std::string target = lab_->Path("state/pools/p");
  agent->hook = [&](const char* step) {
    if (step == std::string("after unmount")) std::ofstream(target + "/stray") << "x";
  };
  EXPECT_FALSE(agent->pools.Remove({}, "p").ok());
  EXPECT_FALSE(agent->pools.Statuses().at(0).ready);
  agent->hook = [](const char*) {};
  std::filesystem::remove(target + "/stray");
  EXPECT_EQ(agent->pools.Remove({}, "p"), absl::OkStatus());
  ExpectNoTrace();
}

}  // namespace
}  // namespace ashlar::node_agent
