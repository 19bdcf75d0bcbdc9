#include "node-agent/topology/nics.h"

#include <filesystem>
#include <fstream>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/base/testing/temporary_directory.h"

namespace ashlar::node_agent {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

// sysfs as the kernel lays it out.
class NicsTest : public testing::Test {
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
  // Below a root port of NUMA node 1. Where its directory is.
  std::string AddFunction(const std::string& address, const std::string& pci_class) {
    std::string directory = "/devices/pci0000:40/0000:40:01.0/" + address;
    Write(directory + "/class", pci_class);
    Write(directory + "/numa_node", "1");
    Link("/bus/pci/devices/" + address, directory);
    return directory;
  }

  TemporaryDirectory directory_;
  const std::string sys_ = std::filesystem::canonical(directory_.path()).string();
};

TEST_F(NicsTest, AnAdapterTellsItsPlaceItsInterfacesAndItsLink) {
  const std::string nic = AddFunction("0000:43:00.0", "0x020000");
  Link(nic + "/driver", "/bus/pci/drivers/mlx5_core");
  Write(nic + "/net/ens1f0/operstate", "up");
  Write(nic + "/net/ens1f0/speed", "200000");
  Write(nic + "/net/ens1f1/operstate", "down");
  Write(nic + "/net/ens1f1/speed", "-1");
  Write(nic + "/infiniband/mlx5_0/ports/1/link_layer", "Ethernet");
  Write(nic + "/infiniband/mlx5_0/ports/1/state", "4: ACTIVE");
  Write(nic + "/infiniband/mlx5_0/ports/1/rate", "200 Gb/sec (4X HDR)");
  const std::vector<v1alpha1::Nic> nics = ReadNics(sys_);
  ASSERT_EQ(nics.size(), 1u);
  EXPECT_EQ(nics[0].pci_address(), "0000:43:00.0");
  EXPECT_THAT(nics[0].interfaces(), testing::UnorderedElementsAre("ens1f0", "ens1f1"));
  EXPECT_THAT(nics[0].rdma_devices(), ElementsAre("mlx5_0"));
  EXPECT_EQ(nics[0].link_layer(), "Ethernet");
  EXPECT_EQ(nics[0].driver(), "mlx5_core");
  EXPECT_TRUE(nics[0].link_up());
  EXPECT_EQ(nics[0].speed_mbits(), 200000);
  EXPECT_EQ(nics[0].numa_node(), 1);
  EXPECT_EQ(nics[0].pcie_root(), "pci0000:40");
  EXPECT_THAT(nics[0].pci(), ElementsAre("0000:40:01.0", "0000:43:00.0"));
}

TEST_F(NicsTest, InfiniBandTellsItsLinkWithoutAnInterface) {
  const std::string nic = AddFunction("0000:43:00.0", "0x020700");
  Write(nic + "/infiniband/mlx5_3/ports/1/link_layer", "InfiniBand");
  Write(nic + "/infiniband/mlx5_3/ports/1/state", "4: ACTIVE");
  Write(nic + "/infiniband/mlx5_3/ports/1/rate", "2.5 Gb/sec (1X SDR)");
  const std::vector<v1alpha1::Nic> nics = ReadNics(sys_);
  ASSERT_EQ(nics.size(), 1u);
  EXPECT_EQ(nics[0].link_layer(), "InfiniBand");
  EXPECT_EQ(nics[0].speed_mbits(), 2500);
}

TEST_F(NicsTest, WhatIsDownHasNoSpeed) {
  const std::string nic = AddFunction("0000:43:00.0", "0x020000");
  Write(nic + "/net/eth0/operstate", "down");
  Write(nic + "/net/eth0/speed", "1000");
  Write(nic + "/infiniband/mlx5_0/ports/1/state", "1: DOWN");
  Write(nic + "/infiniband/mlx5_0/ports/1/rate", "10 Gb/sec (4X SDR)");
  const std::vector<v1alpha1::Nic> nics = ReadNics(sys_);
  ASSERT_EQ(nics.size(), 1u);
  EXPECT_FALSE(nics[0].link_up());
  EXPECT_FALSE(nics[0].has_speed_mbits());
}

TEST_F(NicsTest, AnInterfaceOfVirtioLiesBelowItsOwnDevice) {
  const std::string nic = AddFunction("0000:00:03.0", "0x020000");
  Write(nic + "/virtio0/net/eth0/operstate", "up");
  const std::vector<v1alpha1::Nic> nics = ReadNics(sys_);
  ASSERT_EQ(nics.size(), 1u);
  EXPECT_THAT(nics[0].interfaces(), ElementsAre("eth0"));
  EXPECT_TRUE(nics[0].link_up());
  EXPECT_FALSE(nics[0].has_speed_mbits());
}

TEST_F(NicsTest, VirtualFunctionsAndOtherDevicesAreNone) {
  EXPECT_THAT(ReadNics(sys_ + "/absent"), IsEmpty());
  const std::string function = AddFunction("0000:43:00.1", "0x020000");
  Link(function + "/physfn", "/devices/pci0000:40/0000:40:01.0/0000:43:00.0");
  AddFunction("0000:44:00.0", "0x010802");
  EXPECT_THAT(ReadNics(sys_), IsEmpty());
}

}  // namespace
}  // namespace ashlar::node_agent
