// Wiping real block devices. Loop devices have no serials: the tests give them one.
#include "node-agent/storage/drive_wipe.h"

#include <fcntl.h>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/system/block_erase.h"
#include "node-agent/testing/loop_lab.h"

namespace ashlar::node_agent {
namespace {

using testing::HasSubstr;

constexpr int64_t kGiB = 1024 * kMiB;

class DriveWipeTest : public testing::Test {
 protected:
  void SetUp() override {
    ASHLAR_NEEDS_LOOP_LAB();
    lab_ = std::make_unique<LoopLab>();
    record_.spec.name = "p";
    record_.spec.devices.emplace();
    record_.spec.wipe = {"S"};
  }
  // A drive that bears what the command makes of it.
  Drive MakeUsed(std::vector<std::string> command) {
    const std::string device = lab_->MakeDrive(kGiB);
    command.push_back(device);
    EXPECT_EQ(sys::RunChecked(commands_, {}, command), absl::OkStatus());
    return Look(device);
  }
  Drive Look(const std::string& device) {
    const auto drives = scanner_.Scan({device});
    for (Drive drive : *drives)
      if (drive.device == device) {
        drive.serial = "S";
        return drive;
      }
    ADD_FAILURE() << device << " is not found";
    return {};
  }
  bool Wipe(Drive drive) {
    const auto wiped = WipeIfNamed(scanner_, record_, drive, [&](const PoolRecord&) {
      ++saves_;
      return absl::OkStatus();
    });
    EXPECT_TRUE(wiped.ok()) << wiped.status();
    return wiped.value_or(false);
  }

  std::unique_ptr<LoopLab> lab_;
  sys::PosixCommandRunner commands_;
  sys::KernelMountTable mounts_;
  sys::KernelLoopDevices loops_;
  DriveScanner scanner_{mounts_, loops_};
  PoolRecord record_;
  int saves_ = 0;
};

TEST_F(DriveWipeTest, WhateverLiesOnADriveIsErased) {
  for (const std::vector<std::string>& command : {std::vector<std::string>{"mkfs.ext4", "-q"},
                                                  {"mkfs.xfs", "-q"},
                                                  {"mkfs.btrfs", "-q"},
                                                  {"mkswap"}}) {
    SCOPED_TRACE(command[0]);
    record_.wiped.clear();
    const Drive drive = MakeUsed(command);
    EXPECT_THAT(drive.busy_reason, HasSubstr("signature"));
    EXPECT_TRUE(Wipe(drive));
    EXPECT_EQ(Look(drive.device).busy_reason, "");
    EXPECT_EQ(record_.wiped.count(drive.id), 1u);
  }
  EXPECT_EQ(saves_, 4);
}

TEST_F(DriveWipeTest, NothingHappensToADriveThatIsNotNamed) {
  const Drive drive = MakeUsed({"mkfs.ext4", "-q"});
  record_.spec.wipe = {"T"};
  const std::string before = *sys::ReadHead(drive.device, kMiB);
  EXPECT_FALSE(Wipe(drive));
  EXPECT_EQ(*sys::ReadHead(drive.device, kMiB), before);
  EXPECT_EQ(Refusal(scanner_, record_, drive),
            drive.id + " has a signature of ext4 (its serial S in spec.wipe would wipe it)");
}

TEST_F(DriveWipeTest, AMountedOrClaimedDriveIsNotWiped) {
  lab_->MakeFilesystem("xfs", kGiB);
  const Drive mounted = Look(mounts_.List()->back().source);
  EXPECT_FALSE(Wipe(mounted));
  EXPECT_THAT(std::string(sys::EraseSignatures(mounted.device).message()), HasSubstr("busy"));
  EXPECT_THAT(Refusal(scanner_, record_, mounted), Not(HasSubstr("spec.wipe")));
  const Drive claimed = MakeUsed({"mkfs.ext4", "-q"});
  const auto claim = sys::OpenFile(claimed.device, O_RDONLY | O_EXCL);
  EXPECT_FALSE(Wipe(claimed));
  EXPECT_EQ(sys::ProbeSignature(mounted.device)->type, "xfs");
  EXPECT_EQ(sys::ProbeSignature(claimed.device)->type, "ext4");
}

TEST_F(DriveWipeTest, ANameWipesOnce) {
  const Drive drive = MakeUsed({"mkfs.ext4", "-q"});
  EXPECT_TRUE(Wipe(drive));
  ASSERT_EQ(sys::RunChecked(commands_, {}, {"mkfs.ext4", "-q", drive.device}), absl::OkStatus());
  const Drive again = Look(drive.device);
  EXPECT_FALSE(Wipe(again)) << "what came after the wiping is somebody's";
  EXPECT_THAT(Refusal(scanner_, record_, again), HasSubstr("put it back"));
  ForgetUnnamed(record_);
  EXPECT_FALSE(Wipe(again));
  record_.spec.wipe.clear();
  ForgetUnnamed(record_);
  record_.spec.wipe = {"S"};
  EXPECT_TRUE(Wipe(again));
}

}  // namespace
}  // namespace ashlar::node_agent
