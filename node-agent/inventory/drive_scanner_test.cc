#include "node-agent/inventory/drive_scanner.h"

#include <stdlib.h>

#include <filesystem>
#include <fstream>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace ashlar::node_agent {
namespace {

using testing::HasSubstr;

// A machine made of files: sysfs, /dev and /proc as the kernel lays them out.
class DriveScannerTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = testing::TempDir() + "drives.XXXXXX";
    root_ = mkdtemp(name.data());
    std::filesystem::create_directories(root_ + "/sys/block");
    std::filesystem::create_directories(root_ + "/dev");
    Write("/proc/swaps", "Filename Type Size Used Priority\n");
  }
  void TearDown() override { std::filesystem::remove_all(root_); }

  void Write(const std::string& path, const std::string& text) {
    std::filesystem::create_directories(std::filesystem::path(root_ + path).parent_path());
    std::ofstream(root_ + path) << text;
  }
  void AddDrive(const std::string& name, const std::string& wwid, const std::string& serial) {
    const std::string device = "/sys/devices/pci0000:40/0000:41:00.0/nvme/nvme0/" + name;
    Write(device + "/size", "2097152\n");
    Write(device + "/wwid", wwid + "\n");
    Write(device + "/device/cntlid", "0\n");
    Write(device + "/device/serial", serial + "  \n");
    Write(device + "/device/model", "FAST 1\n");
    Write(device + "/device/firmware_rev", "F2\n");
    Write(device + "/queue/logical_block_size", "4096\n");
    Write(device + "/queue/rotational", "0\n");
    Write("/sys/devices/pci0000:40/0000:41:00.0/numa_node", "1\n");
    std::filesystem::create_directory_symlink(root_ + device, root_ + "/sys/block/" + name);
    std::ofstream(root_ + "/dev/" + name) << std::string(1 << 20, '\0');
  }
  std::vector<Drive> Scan() {
    DriveScanner scanner(mounts_, loops_, {root_ + "/sys", root_ + "/dev", root_ + "/proc"});
    auto drives = scanner.Scan({});
    EXPECT_TRUE(drives.ok()) << drives.status();
    return drives.value_or(std::vector<Drive>{});
  }

  std::string root_;
  sys::KernelMountTable mounts_;
  sys::KernelLoopDevices loops_;
};

TEST_F(DriveScannerTest, ReadsWhatIsEngravedAndWhereItIs) {
  AddDrive("nvme0n1", "eui.0025385b71b00d2a", "S1");
  const std::vector<Drive> drives = Scan();
  ASSERT_EQ(drives.size(), 1u);
  EXPECT_EQ(drives[0].id, "eui.0025385b71b00d2a");
  EXPECT_EQ(drives[0].serial, "S1");
  EXPECT_EQ(drives[0].model, "FAST 1");
  EXPECT_EQ(drives[0].firmware, "F2");
  EXPECT_EQ(drives[0].transport, "nvme");
  EXPECT_EQ(drives[0].size_bytes, int64_t{1} << 30);
  EXPECT_EQ(drives[0].logical_block_bytes, 4096);
  EXPECT_EQ(drives[0].pci_address, "0000:41:00.0");
  EXPECT_EQ(drives[0].numa_node, 1);
  EXPECT_EQ(drives[0].busy_reason, "");
}

TEST_F(DriveScannerTest, ZeroIdentifiersIdentifyNothing) {
  AddDrive("nvme0n1", "eui.0000000000000000", "S1");
  AddDrive("nvme1n1", "eui.0000000000000000", "00000000");
  const std::vector<Drive> drives = Scan();
  ASSERT_EQ(drives.size(), 2u);
  EXPECT_EQ(drives[0].id, root_ + "/dev/nvme1n1");
  EXPECT_EQ(drives[1].id, "S1");
  EXPECT_EQ(UsableIdentifier("00000000-0000-0000-0000-000000000000"), "");
  EXPECT_EQ(UsableIdentifier(" naa.5000c500a0b1c2d3 \n"), "naa.5000c500a0b1c2d3");
}

TEST_F(DriveScannerTest, EqualIdentifiersIdentifyNoOne) {
  AddDrive("nvme0n1", "eui.1", "S");
  AddDrive("nvme1n1", "eui.1", "S");
  for (const Drive& drive : Scan()) EXPECT_EQ(drive.id, drive.device);
}

TEST_F(DriveScannerTest, SaysWhyADriveIsNotFree) {
  AddDrive("nvme0n1", "eui.1", "S1");
  Write("/sys/block/nvme0n1/nvme0n1p1/partition", "1\n");
  EXPECT_THAT(Scan()[0].busy_reason, HasSubstr("nvme0n1p1"));
  std::ofstream(root_ + "/dev/nvme0n1p1") << "";
  EXPECT_EQ(Scan()[0].busy_reason, "has partition nvme0n1p1");
  Write("/sys/block/nvme0n1/nvme0n1p1/holders/md0", "");
  EXPECT_EQ(Scan()[0].busy_reason, "has partition nvme0n1p1, which is held by md0");
  std::filesystem::remove_all(root_ + "/sys/block/nvme0n1/nvme0n1p1");
  Write("/sys/block/nvme0n1/holders/dm-0", "");
  EXPECT_THAT(Scan()[0].busy_reason, HasSubstr("dm-0"));
  std::filesystem::remove_all(root_ + "/sys/block/nvme0n1/holders");
  Write("/proc/swaps", root_ + "/dev/nvme0n1 partition 1 0 -2\n");
  EXPECT_THAT(Scan()[0].busy_reason, HasSubstr("swap"));
  Write("/proc/swaps", "");
  Write("/sys/block/nvme0n1/ro", "1\n");
  EXPECT_THAT(Scan()[0].busy_reason, HasSubstr("read-only"));
}

TEST_F(DriveScannerTest, LeavesOutWhatIsNoDrive) {
  for (const char* name : {"ram0", "zram0", "dm-0", "md0", "sr0", "loop0"}) AddDrive(name, "", "");
  EXPECT_TRUE(Scan().empty());
}

}  // namespace
}  // namespace ashlar::node_agent
