#include "node-agent/inventory/drive_paths.h"

#include <filesystem>
#include <fstream>

#include "gtest/gtest.h"
#include "lib/base/testing/temporary_directory.h"

namespace ashlar::node_agent {
namespace {

// sysfs as the kernel lays it out.
class DrivePathsTest : public testing::Test {
 protected:
  void Write(const std::string& path, const std::string& text) {
    std::filesystem::create_directories(std::filesystem::path(sys_ + path).parent_path());
    std::ofstream(sys_ + path) << text << "\n";
  }
  void Link(const std::string& path, const std::string& target) {
    std::filesystem::create_directories(std::filesystem::path(sys_ + path).parent_path());
    std::filesystem::create_directories(sys_ + target);
    std::filesystem::create_directory_symlink(sys_ + target, sys_ + path);
  }
  // A controller nvme<number> at the end of the PCI functions.
  void AddController(const std::string& pci, const std::string& number) {
    Write(pci + "/nvme/nvme" + number + "/cntlid", number);
    Write(pci + "/numa_node", "1");
    Write(pci + "/current_link_speed", "16.0 GT/s PCIe");
    Write(pci + "/max_link_speed", "32.0 GT/s PCIe");
    Write(pci + "/current_link_width", "2");
    Write(pci + "/max_link_width", "4");
  }

  TemporaryDirectory directory_;
  const std::string sys_ = std::filesystem::canonical(directory_.path()).string();
};

const char kPci[] = "/devices/pci0000:40/0000:40:01.0/0000:41:00.0/0000:42:03.0/0000:45:00.0";

TEST_F(DrivePathsTest, LeadFromTheRootOverASwitchToTheController) {
  AddController(kPci, "0");
  const std::string disk = std::string(kPci) + "/nvme/nvme0/nvme0n1";
  Link("/block/nvme0n1", disk);
  Link(disk + "/device", std::string(kPci) + "/nvme/nvme0");
  Link(std::string(kPci) + "/iommu_group", "/kernel/iommu_groups/17");
  Write("/kernel/iommu_groups/17/type", "DMA-FQ");
  const std::vector<DrivePath> paths = ReadDrivePaths(sys_, "nvme0n1");
  ASSERT_EQ(paths.size(), 1u);
  EXPECT_EQ(paths[0].controller, "nvme0");
  EXPECT_EQ(paths[0].pcie_root, "pci0000:40");
  EXPECT_EQ(paths[0].pci, (std::vector<std::string>{"0000:40:01.0", "0000:41:00.0", "0000:42:03.0",
                                                    "0000:45:00.0"}));
  EXPECT_EQ(paths[0].pci_address(), "0000:45:00.0");
  EXPECT_EQ(paths[0].numa_node, 1);
  EXPECT_EQ(paths[0].link_speed, "16.0 GT/s");
  EXPECT_EQ(paths[0].max_link_speed, "32.0 GT/s");
  EXPECT_EQ(paths[0].link_width, 2);
  EXPECT_EQ(paths[0].max_link_width, 4);
  EXPECT_EQ(paths[0].iommu_group, "17");
  EXPECT_TRUE(paths[0].iommu_translates);
}

TEST_F(DrivePathsTest, AnIommuMayPassAddressesThroughOrBeAbsent) {
  Link("/block/nvme0n1", std::string(kPci) + "/nvme/nvme0/nvme0n1");
  AddController(kPci, "0");
  Link(std::string(kPci) + "/nvme/nvme0/nvme0n1/device", std::string(kPci) + "/nvme/nvme0");
  EXPECT_EQ(ReadDrivePaths(sys_, "nvme0n1")[0].iommu_group, "");
  Link(std::string(kPci) + "/iommu_group", "/kernel/iommu_groups/4");
  Write("/kernel/iommu_groups/4/type", "identity");
  EXPECT_EQ(ReadDrivePaths(sys_, "nvme0n1")[0].iommu_group, "4");
  EXPECT_FALSE(ReadDrivePaths(sys_, "nvme0n1")[0].iommu_translates);
}

TEST_F(DrivePathsTest, OfASubsystemAreThoseOfItsControllersThatSeeTheNamespace) {
  const std::string subsystem = "/devices/virtual/nvme-subsystem/nvme-subsys0";
  const std::string a = "/devices/pci0000:80/0000:80:00.0/0000:81:00.0";
  const std::string b = "/devices/pci0000:40/0000:40:00.0/0000:41:00.0";
  const std::string c = "/devices/pci0000:40/0000:40:01.0/0000:42:00.0";
  Link("/block/nvme0n1", subsystem + "/nvme0n1");
  Link(subsystem + "/nvme0n1/device", subsystem);
  for (const auto& [pci, number] : {std::pair{a, "0"}, {b, "1"}, {c, "2"}}) {
    AddController(pci, number);
    Link(subsystem + "/nvme" + number, pci + "/nvme/nvme" + number);
  }
  Write(a + "/nvme/nvme0/nvme0c0n1/size", "1");
  Write(b + "/nvme/nvme1/nvme0c1n1/size", "1");
  Write(c + "/nvme/nvme2/nvme0c2n2/size", "1");  // another namespace
  const std::vector<DrivePath> paths = ReadDrivePaths(sys_, "nvme0n1");
  ASSERT_EQ(paths.size(), 2u);
  EXPECT_EQ(paths[0].controller, "nvme1");
  EXPECT_EQ(paths[0].pci_address(), "0000:41:00.0");
  EXPECT_EQ(paths[1].controller, "nvme0");
  EXPECT_EQ(paths[1].pcie_root, "pci0000:80");
}

TEST_F(DrivePathsTest, WithoutPciThereAreNone) {
  Link("/block/loop0", "/devices/virtual/block/loop0");
  EXPECT_TRUE(ReadDrivePaths(sys_, "loop0").empty());
  EXPECT_TRUE(ReadDrivePaths(sys_, "gone").empty());
  const std::string sata =
      "/devices/pci0000:80/0000:80:02.0/ata1/host0/target0:0:0/0:0:0:0/block/sda";
  Link("/block/sda", sata);
  ASSERT_EQ(ReadDrivePaths(sys_, "sda").size(), 1u);
  EXPECT_EQ(ReadDrivePaths(sys_, "sda")[0].pci_address(), "0000:80:02.0");
  EXPECT_EQ(ReadDrivePaths(sys_, "sda")[0].numa_node, -1);
}

}  // namespace
}  // namespace ashlar::node_agent
