#include "node-agent/near/direct_way.h"

#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/base/testing/temporary_directory.h"

namespace ashlar::node_agent {
namespace {

using testing::HasSubstr;

// Partition 2 of an NVMe drive, with ext4 on it, published at /pod; a GPU behind the same switch.
class DirectWayTest : public testing::Test {
 protected:
  DirectWayTest() {
    MakeDevice("259:3", "pci0000:40/nvme/nvme0/nvme0n1/nvme0n1p2");
    Write("sys/devices/pci0000:40/nvme/nvme0/nvme0n1/nvme0n1p2/partition", "2\n");
    SetStart(2048);
    Write("run/udev/data/b259:3", "E:ID_FS_TYPE=ext4\n");
    use_.device = {259, 3};
    use_.mount_point = "/staged";
    use_.targets = {"/pod"};
    mounts_.emplace_back().mount_point = "/pod";
    mounts_[0].fs_type = "ext4";
    mounts_[0].super_options = "rw,data=ordered";
    node_.gpus.emplace_back().set_uuid("GPU-a");
    node_.drives.emplace_back().id = "S1";
    AddPath("GPU-a", "Switch", "Yes", "");
  }
  void MakeDevice(const std::string& number, const std::string& path) {
    std::filesystem::create_directories(root_ + "/sys/devices/" + path);
    std::filesystem::create_directories(root_ + "/sys/dev/block");
    std::filesystem::remove(root_ + "/sys/dev/block/" + number);
    std::filesystem::create_symlink("../../devices/" + path, root_ + "/sys/dev/block/" + number);
  }
  void Write(const std::string& path, const std::string& text) {
    std::filesystem::create_directories(std::filesystem::path(root_ + "/" + path).parent_path());
    std::ofstream(root_ + "/" + path) << text;
  }
  void SetStart(int sector) {
    Write("sys/devices/pci0000:40/nvme/nvme0/nvme0n1/nvme0n1p2/start", absl::StrCat(sector, "\n"));
  }
  void AddPath(const char* gpu, const char* level, const char* peer_to_peer, const char* reason) {
    v1alpha1::GpuDrivePath& path = node_.paths.emplace_back();
    path.set_gpu(gpu);
    path.set_drive("S1");
    path.set_level(level);
    path.set_peer_to_peer(peer_to_peer);
    path.set_reason(reason);
  }
  DirectWay Way(const std::vector<std::string>& gpus = {}) {
    const DirectFacts facts = ReadDirectFacts(use_, mounts_, {root_ + "/sys", root_ + "/run/udev"});
    return JudgeDirectWay(facts, "S1", gpus, node_);
  }
  void ExpectCompatibility(const std::string& why) {
    const DirectWay way = Way();
    EXPECT_EQ(way.mode, "Compatibility");
    EXPECT_THAT(way.message, HasSubstr(why));
  }

  TemporaryDirectory temporary_;
  const std::string root_ = temporary_.path();
  VolumeUse use_;
  std::vector<sys::MountEntry> mounts_;
  NearFacts node_;
};

TEST_F(DirectWayTest, GoesStraightWhereNothingIsInTheWay) {
  EXPECT_EQ(Way().mode, "GDS");
  EXPECT_THAT(Way().message, HasSubstr("GPU GPU-a and drive S1 (level Switch)"));
  mounts_[0].fs_type = "xfs";
  mounts_[0].super_options = "rw,attr2";
  EXPECT_EQ(Way().mode, "GDS");
  use_.mount_point.clear();  // a block volume
  mounts_.clear();
  EXPECT_EQ(Way().mode, "GDS");
}

TEST_F(DirectWayTest, NothingIsSaidOfWhatNoPodSees) {
  mounts_[0].mount_point = "/elsewhere";
  EXPECT_EQ(Way(), DirectWay{});
  use_.targets.clear();
  EXPECT_EQ(Way(), DirectWay{});
}

TEST_F(DirectWayTest, TheMountThatThePodSeesCounts) {
  mounts_[0].super_options = "rw";
  ExpectCompatibility("without the option data=ordered");
  mounts_[0].super_options = "rw,data=journal";
  ExpectCompatibility("without the option data=ordered");
  mounts_[0].fs_type = "btrfs";
  ExpectCompatibility("its filesystem is btrfs: ext4 and xfs can");
}

TEST_F(DirectWayTest, TheDeviceBelowCounts) {
  SetStart(2049);
  ExpectCompatibility("begins at byte 1049088 of its drive, which is no multiple of 4096");
  SetStart(2048);
  std::filesystem::remove(root_ + "/run/udev/data/b259:3");
  ExpectCompatibility("udev has no data");
  for (const auto& [name, sign, what] : {std::tuple{"dm-3", "dm", "dm-3 (device-mapper)"},
                                         std::tuple{"loop7", "loop", "loop7 (a loop device)"},
                                         std::tuple{"md0", "md", "md0 (software RAID)"}}) {
    MakeDevice("259:3", absl::StrCat("virtual/block/", name));
    std::filesystem::create_directories(root_ + "/sys/devices/virtual/block/" + name + "/" + sign);
    ExpectCompatibility(absl::StrCat(what, " lies between the volume and its drive"));
  }
  MakeDevice("259:3", "ata1/sda");
  ExpectCompatibility("no NVMe drive but on sda");
}

TEST_F(DirectWayTest, TheBestWayToAGpuCounts) {
  node_.paths.clear();
  AddPath("GPU-a", "Root", "No", "the IOMMU translates");
  ExpectCompatibility("GPU GPU-a and drive S1 (level Root): the IOMMU translates");
  AddPath("GPU-b", "System", "Unknown", "it depends");
  EXPECT_EQ(Way(), (DirectWay{"Unknown", "GPU GPU-b and drive S1 (level System): it depends"}));
  EXPECT_EQ(Way({"GPU-a"}).mode, "Compatibility") << "the volume was carved for GPU-a";
  EXPECT_EQ(Way({"GPU-z"}).mode, "Unknown");
  node_.gpus.clear();
  ExpectCompatibility("the node has no GPU");
}

}  // namespace
}  // namespace ashlar::node_agent
