// Pools on real drives and filesystems: what is taken, what is refused, and that capacity is true.
#include <fcntl.h>
#include <unistd.h>

#include <fstream>
#include <random>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/base/log.h"
#include "lib/system/files.h"
#include "node-agent/testing/loop_lab.h"

namespace ashlar::node_agent {
namespace {

using testing::HasSubstr;

constexpr int64_t kGiB = 1024 * kMiB;
constexpr char kUid[] = "0f8fad5b-d9cb-469f-a165-70867728950e";

class PoolLoopTest : public testing::Test {
 protected:
  void SetUp() override {
    ASHLAR_NEEDS_LOOP_LAB();
    lab_ = std::make_unique<LoopLab>();
    Restart();
  }
  void Restart() {
    agent_ = std::make_unique<AgentStack>(lab_->Path("state"), std::vector{lab_->Path("kubelet")});
    ASSERT_EQ(agent_->Start(), absl::OkStatus());
  }
  PoolStatus EnsureOnDrive(const std::string& path, const std::string& uid = kUid) {
    PoolSpec spec;
    spec.name = "p";
    spec.uid = uid;
    spec.devices.emplace();
    spec.devices->paths = {path};
    const auto status = agent_->pools.Ensure({}, spec);
    EXPECT_TRUE(status.ok()) << status.status();
    return status.value_or(PoolStatus{});
  }
  absl::Status Block(const std::string& id, int64_t size) {
    return agent_->volumes.Ensure({}, {id, "p", size, VolumeMode::kBlock, ""}).status();
  }
  int64_t Allocatable() { return agent_->pools.Statuses().at(0).usage.allocatable_bytes; }

  std::unique_ptr<LoopLab> lab_;
  std::unique_ptr<AgentStack> agent_;
};

TEST_F(PoolLoopTest, AFreeDriveIsFormattedOnceAndFoundAgain) {
  const std::string drive = lab_->MakeDrive(kGiB);
  const PoolStatus status = EnsureOnDrive(drive);
  ASSERT_TRUE(status.ready) << status.reason << status.message;
  EXPECT_EQ(sys::ProbeSignature(drive)->uuid, kUid);
  ASSERT_EQ(Block("keep", kMiB), absl::OkStatus());
  Restart();
  ASSERT_EQ(agent_->volumes.List().size(), 1u);
  // As after a reboot: nothing is mounted.
  agent_.reset();
  ASSERT_EQ(sys::KernelMountTable().Unmount(lab_->Path("state/pools/p")), absl::OkStatus());
  Restart();
  ASSERT_EQ(agent_->volumes.List().size(), 1u) << "the drive is mounted again, not formatted";
  EXPECT_FALSE(agent_->pools.Remove({}, "p").ok()) << "a pool with volumes stays";
  ASSERT_EQ(agent_->volumes.Remove({}, "keep"), absl::OkStatus());
  ASSERT_EQ(agent_->pools.Remove({}, "p"), absl::OkStatus());
  EXPECT_EQ(lab_->MountsBelow(lab_->Path("state")), 0);
}

TEST_F(PoolLoopTest, APoolTakesEveryFreeDriveAndOneThatIsDrainedLeavesWhenItIsEmpty) {
  const std::vector<std::string> drives = {lab_->MakeDrive(400 * kMiB),
                                           lab_->MakeDrive(400 * kMiB)};
  PoolSpec spec;
  spec.name = "p";
  spec.uid = kUid;
  spec.devices = DeviceSource{{}, {drives[0]}, {}, {}, 0, 0};
  const auto ensure = [&] {
    const auto status = agent_->pools.Ensure({}, spec);
    EXPECT_TRUE(status.ok()) << status.status();
    return status.value_or(PoolStatus{});
  };
  const PoolStatus one = ensure();
  ASSERT_TRUE(one.ready) << one.reason << one.message;
  spec.devices->paths = drives;
  const PoolStatus both = ensure();
  EXPECT_EQ(both.devices.size(), 2u);
  EXPECT_EQ(both.usage.capacity_bytes, 2 * one.usage.capacity_bytes);
  EXPECT_EQ(both.usage.largest_bytes, one.usage.largest_bytes);
  const auto drive_of = [&](const std::string& id) {
    const std::string path = (*agent_->pools.Backend("p"))->Find(id)->path;
    return path.find("/pools/p+") == std::string::npos ? drives[0] : drives[1];
  };
  ASSERT_EQ(Block("a", 100 * kMiB), absl::OkStatus());
  ASSERT_EQ(Block("b", 100 * kMiB), absl::OkStatus());
  EXPECT_NE(drive_of("a"), drive_of("b")) << "the emptier drive gets the next volume";
  const auto copy =
      (*agent_->pools.Backend("p"))
          ->Create({}, {"c", "p", kUid, VolumeMode::kBlock, "", VolumeKind::kVolume, "a"},
                   100 * kMiB, "");
  ASSERT_TRUE(copy.ok()) << copy.status();
  EXPECT_EQ(drive_of("c"), drive_of("a")) << "a copy shares its source's blocks";
  const auto too_large = Block("d", 400 * kMiB);
  EXPECT_EQ(too_large.code(), absl::StatusCode::kResourceExhausted);
  ASSERT_EQ((*agent_->pools.Backend("p"))->Remove({}, "c"), absl::OkStatus());
  Restart();
  EXPECT_EQ(agent_->volumes.List().size(), 2u);

  spec.drain = {drives[0]};
  const PoolStatus draining = ensure();
  EXPECT_TRUE(draining.ready);
  EXPECT_EQ(draining.reason, "Draining") << draining.message;
  EXPECT_EQ(draining.devices.size(), 2u);
  ASSERT_EQ(Block("e", kMiB), absl::OkStatus());
  EXPECT_EQ(drive_of("e"), drives[1]);
  const std::string on_first = drive_of("a") == drives[0] ? "a" : "b";
  ASSERT_EQ(agent_->volumes.Remove({}, on_first), absl::OkStatus());
  const PoolStatus left = ensure();
  EXPECT_EQ(left.devices, std::vector{drives[1]});
  EXPECT_EQ(left.reason, "");
  EXPECT_TRUE(sys::ProbeSignature(drives[0])->empty()) << "it is a free drive again";
  EXPECT_EQ(ensure().devices, std::vector{drives[1]}) << "and not taken again while it is named";
  spec.drain.clear();
  EXPECT_EQ(ensure().devices.size(), 2u);
  for (const VolumeStatus& volume : agent_->volumes.List())
    ASSERT_EQ(agent_->volumes.Remove({}, volume.facts.id), absl::OkStatus());
  ASSERT_EQ(agent_->pools.Remove({}, "p"), absl::OkStatus());
  EXPECT_EQ(lab_->MountsBelow(lab_->Path("state")), 0);
}

TEST_F(PoolLoopTest, ADriveWithASignatureIsNeverTouched) {
  for (const char* content : {"ext4", "gpt", "swap"}) {
    const std::string drive = lab_->MakeDrive(kGiB);
    if (content == std::string("ext4")) {
      ASSERT_EQ(sys::RunChecked(agent_->commands, {}, {"mkfs.ext4", "-q", drive}),
                absl::OkStatus());
    } else if (content == std::string("swap")) {
      ASSERT_EQ(sys::RunChecked(agent_->commands, {}, {"mkswap", drive}), absl::OkStatus());
    } else {
      std::ofstream(drive, std::ios::in | std::ios::out | std::ios::binary)
          .seekp(446)
          .write("\x00\x00\x02\x00\x83\xff\xff\xff\x01\x00\x00\x00\xff\x0f\x00\x00", 16)
          .seekp(510)
          .write("\x55\xaa", 2);
    }
    const std::string before = *sys::ReadHead(drive, kMiB);
    const PoolStatus status = EnsureOnDrive(drive);
    EXPECT_FALSE(status.ready) << content;
    EXPECT_EQ(status.reason, "NoFreeDrive");
    EXPECT_THAT(status.message, HasSubstr(drive));
    EXPECT_EQ(*sys::ReadHead(drive, kMiB), before);
    ASSERT_EQ(agent_->pools.Remove({}, "p"), absl::OkStatus());
  }
}

TEST_F(PoolLoopTest, AMountedDriveAndAnotherPoolsDriveAreRefused) {
  lab_->MakeFilesystem("xfs", kGiB);
  const std::string mounted = agent_->mounts.List()->back().source;
  EXPECT_THAT(EnsureOnDrive(mounted).message, HasSubstr("mounted"));
  ASSERT_EQ(agent_->pools.Remove({}, "p"), absl::OkStatus());
  const std::string drive = lab_->MakeDrive(kGiB);
  ASSERT_TRUE(EnsureOnDrive(drive).ready);
  ASSERT_EQ(agent_->pools.Remove({}, "p"), absl::OkStatus());
  const PoolStatus other = EnsureOnDrive(drive, "11111111-d9cb-469f-a165-70867728950e");
  EXPECT_FALSE(other.ready);
  EXPECT_THAT(other.message, HasSubstr("xfs"));
}

TEST_F(PoolLoopTest, LoopDevicesAreNoDrivesUnlessNamed) {
  const std::string drive = lab_->MakeDrive(kGiB);
  const auto all = agent_->scanner.Scan({});
  for (const Drive& found : *all) EXPECT_NE(found.transport, "loop");
  const auto named = agent_->scanner.Scan({drive});
  const auto it = std::find_if(named->begin(), named->end(),
                               [&](const Drive& found) { return found.device == drive; });
  ASSERT_NE(it, named->end());
  EXPECT_EQ(it->busy_reason, "");
}

class TrueCapacity : public PoolLoopTest, public testing::WithParamInterface<const char*> {};

TEST_P(TrueCapacity, ExactlyWhatIsAllocatableCanBeAllocatedAndNoMiBMore) {
  SetLogLevel(LogLevel::kWarning);
  const std::string pool = lab_->MakeFilesystem(GetParam(), kGiB);
  ASSERT_TRUE(agent_->EnsureDirectoryPool(pool)->ready);
  std::mt19937 random(42);
  for (int round = 0; round < 6; ++round) {
    SCOPED_TRACE(round);
    int made = 0;
    const auto make = [&](int64_t size) { return Block("v" + std::to_string(made++), size); };
    ASSERT_EQ(make(Allocatable() + kMiB).code(), absl::StatusCode::kResourceExhausted);
    if (round == 0) {
      ASSERT_EQ(make(Allocatable()), absl::OkStatus()) << "as one volume";
    } else if (round == 1) {
      for (int64_t left = Allocatable(); left > 0; left -= kMiB)
        ASSERT_EQ(make(kMiB), absl::OkStatus()) << "as the smallest volumes, " << left << " left";
    } else {
      for (int64_t left = Allocatable(); left > 0;) {
        const int64_t size = std::min<int64_t>(left, (1 + random() % 200) * kMiB);
        ASSERT_EQ(make(size), absl::OkStatus()) << "as volumes of any size";
        left -= size;
        if (random() % 4 == 0) {
          const VolumeStatus victim = agent_->volumes.List().front();
          ASSERT_EQ(agent_->volumes.Remove({}, victim.facts.id), absl::OkStatus());
          left += victim.size_bytes;
        }
      }
    }
    EXPECT_LE(Allocatable(), kMiB);
    EXPECT_EQ(make(Allocatable() + kMiB).code(), absl::StatusCode::kResourceExhausted);
    for (const VolumeStatus& volume : agent_->volumes.List())
      ASSERT_EQ(agent_->volumes.Remove({}, volume.facts.id), absl::OkStatus());
  }
  SetLogLevel(LogLevel::kInfo);
}

INSTANTIATE_TEST_SUITE_P(Filesystems, TrueCapacity, testing::Values("xfs", "ext4"));

TEST_F(PoolLoopTest, ReserveAndDirectoryCapacityAndOverprovisionCount) {
  const std::string pool = lab_->MakeFilesystem("xfs", kGiB);
  PoolSpec spec;
  spec.name = "p";
  spec.uid = "u";
  spec.directory = DirectorySource{pool, 200 * kMiB};
  spec.reserve_bytes = 50 * kMiB;
  ASSERT_TRUE(agent_->pools.Ensure({}, spec)->ready);
  EXPECT_EQ(Allocatable(), 150 * kMiB);
  ASSERT_EQ(Block("a", 100 * kMiB), absl::OkStatus());
  EXPECT_EQ(Allocatable(), 50 * kMiB);
  spec.sparse = true;
  spec.overprovision_percent = 200;
  ASSERT_TRUE(agent_->pools.Ensure({}, spec)->ready);
  EXPECT_EQ(Allocatable(), 200 * kMiB);
  ASSERT_EQ(Block("b", 200 * kMiB), absl::OkStatus());
  EXPECT_EQ(Block("c", kMiB).code(), absl::StatusCode::kResourceExhausted);
}

TEST_F(PoolLoopTest, ANewVolumeNeverShowsOldBytes) {
  const std::string pool = lab_->MakeFilesystem("xfs", 400 * kMiB);
  ASSERT_TRUE(agent_->EnsureDirectoryPool(pool)->ready);
  const int64_t size = Allocatable();
  const std::string secret(kMiB, 's'), zero(kMiB, '\0');
  ASSERT_EQ(Block("old", size), absl::OkStatus());
  {
    const auto fd = sys::OpenFile(pool + "/volumes/old.img", O_RDWR);
    for (int64_t at = 0; at < size; at += kMiB)
      ASSERT_EQ(pwrite(fd->get(), secret.data(), kMiB, at), kMiB);
    ASSERT_EQ(sys::SyncFile(fd->get(), "old"), absl::OkStatus());
  }
  ASSERT_EQ(agent_->volumes.Remove({}, "old"), absl::OkStatus());
  ASSERT_EQ(Block("new", size), absl::OkStatus());
  const auto held = agent_->loops.Attach({}, pool + "/volumes/new.img", {"lab", true, false});
  ASSERT_TRUE(held.ok()) << held.status();
  std::string read(kMiB, 'x');
  for (int64_t at = 0; at < size; at += kMiB) {
    ASSERT_EQ(pread(held->hold->get(), read.data(), kMiB, at), kMiB);
    ASSERT_TRUE(read == zero) << "old bytes at " << at;
  }
}

}  // namespace
}  // namespace ashlar::node_agent
