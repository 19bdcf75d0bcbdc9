#include "node-agent/topology/gpu_places.h"

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace ashlar::node_agent {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

using Ways = std::vector<std::string>;
// Socket 0 has two switches below one root, socket 1 one below another.
const Ways kGpu = {"0000:40:00.0", "0000:41:00.0", "0000:42:00.0", "0000:43:00.0"};
const Ways kSameSwitch = {"0000:40:00.0", "0000:41:00.0", "0000:42:01.0", "0000:44:00.0"};
const Ways kSameRoot = {"0000:40:01.0", "0000:45:00.0", "0000:46:00.0", "0000:47:00.0"};
const Ways kOtherRoot = {"0000:60:00.0", "0000:61:00.0"};
const Ways kOtherSocket = {"0000:80:00.0", "0000:81:00.0", "0000:82:00.0", "0000:83:00.0"};

class GpuPlacesTest : public testing::Test {
 protected:
  GpuPlacesTest() {
    facts_.open_driver = true;
    facts_.driver = 580;
    facts_.kernel = {6, 8};
    v1alpha1::Gpu& gpu = gpus_.emplace_back();
    gpu.set_uuid("GPU-1");
    gpu.set_architecture("Hopper");
    gpu.set_numa_node(0);
    gpu.set_pcie_root("pci0000:40");
    gpu.mutable_pci()->Assign(kGpu.begin(), kGpu.end());
  }
  Drive& AddDrive(const std::string& id, const Ways& pci, const std::string& root, int numa) {
    Drive& drive = drives_.emplace_back();
    drive.id = id;
    drive.transport = "nvme";
    drive.paths.push_back({"nvme0", root, pci, numa});
    return drive;
  }
  // "Switch Yes: reason"
  std::string Told(size_t drive = 0) {
    const auto paths = FindPaths(facts_, gpus_, drives_);
    return absl::StrCat(paths.at(drive).level(), " ", paths[drive].peer_to_peer(), ": ",
                        paths[drive].reason());
  }

  TreeFacts facts_;
  std::vector<v1alpha1::Gpu> gpus_;
  std::vector<Drive> drives_;
  std::vector<v1alpha1::Nic> nics_;
};

TEST_F(GpuPlacesTest, TheNearestThingSharedIsTheLevel) {
  AddDrive("a", kSameSwitch, "pci0000:40", 0);
  AddDrive("b", kSameRoot, "pci0000:40", 0);
  AddDrive("c", kOtherRoot, "pci0000:60", 0);
  AddDrive("d", kOtherSocket, "pci0000:80", 1);
  std::vector<std::string> levels;
  for (const auto& path : FindPaths(facts_, gpus_, drives_)) levels.push_back(path.level());
  EXPECT_THAT(levels, ElementsAre("Switch", "Root", "NUMANode", "System"));
}

TEST_F(GpuPlacesTest, ARootPortOfItsOwnIsNoSwitch) {
  gpus_[0].mutable_pci()->Clear();
  for (const char* address : {"0000:40:02.0", "0000:48:00.0"}) gpus_[0].add_pci(address);
  AddDrive("a", {"0000:40:03.0", "0000:49:00.0"}, "pci0000:40", 0);
  EXPECT_THAT(Told(), HasSubstr("Root Yes"));
  EXPECT_THAT(SwitchesOf(facts_, {"0000:40:03.0", "0000:49:00.0"}), IsEmpty());
}

TEST_F(GpuPlacesTest, SwitchesBelowSwitchesAreFoundByPlaceAndByPort) {
  const Ways deep = {"root", "up1", "down1", "up2", "down2", "device"};
  EXPECT_THAT(SwitchesOf(facts_, deep), ElementsAre("up1", "up2"));
  // A bridge to conventional PCI is no switch.
  facts_.functions = {{"root", {PciPort::kRoot}}, {"up1", {PciPort::kNone}}};
  EXPECT_THAT(SwitchesOf(facts_, {"root", "up1", "device", "function"}), IsEmpty());
  facts_.functions = {{"root", {PciPort::kRoot}}, {"up1", {PciPort::kUpstream}}};
  EXPECT_THAT(SwitchesOf(facts_, {"root", "up1", "down1", "device"}), ElementsAre("up1"));
}

TEST_F(GpuPlacesTest, OfADriveWithSeveralPathsTheNearestCountsAndNoneGoesStraight) {
  AddDrive("a", kOtherSocket, "pci0000:80", 1)
      .paths.push_back({"nvme1", "pci0000:40", kSameSwitch, 0});
  EXPECT_EQ(Told(), "Switch No: the drive has several paths (NVMe multipath)");
}

TEST_F(GpuPlacesTest, WhatIsInTheWayIsNamed) {
  Drive& drive = AddDrive("a", kSameSwitch, "pci0000:40", 0);
  EXPECT_THAT(Told(), HasSubstr("Switch Yes: on ext4 (data=ordered) or XFS"));
  drive.paths[0].iommu_translates = true;
  EXPECT_EQ(Told(), "Switch No: the IOMMU translates the drive's addresses");
  drive.paths[0].iommu_translates = false;
  facts_.functions["0000:42:01.0"] = {PciPort::kDownstream, true};
  EXPECT_EQ(Told(), "Switch No: the port 0000:42:01.0 sends requests up to the root (ACS)");
  EXPECT_THAT(FindGdsFacts(facts_).acs_redirects(), ElementsAre("0000:42:01.0"));
  facts_.functions.clear();
  facts_.functions["0000:40:00.0"] = {PciPort::kRoot, true};  // above the switch that they share
  EXPECT_THAT(Told(), HasSubstr("Yes"));
  facts_.kernel = {6, 1};
  EXPECT_THAT(Told(), HasSubstr("No: without nvidia-fs the kernel must be 6.2"));
  facts_.driver = 550;
  EXPECT_THAT(Told(), HasSubstr("must be 565 or newer, it is 550"));
  facts_.open_driver = false;
  EXPECT_THAT(Told(), HasSubstr("No: neither nvidia-fs nor"));
  facts_.nvidia_fs = true;
  EXPECT_THAT(Told(), HasSubstr("Yes"));
  gpus_[0].set_architecture("Volta");
  EXPECT_THAT(Told(), HasSubstr("older than Ampere: Volta"));
  gpus_[0].mutable_health()->set_problem("lost");
  EXPECT_THAT(Told(), HasSubstr("Unknown: the GPU does not answer"));
}

TEST_F(GpuPlacesTest, AcrossRootsNobodyKnows) {
  AddDrive("a", kOtherSocket, "pci0000:80", 1);
  EXPECT_THAT(Told(), HasSubstr("System Unknown: GPU and drive are below different roots"));
}

TEST_F(GpuPlacesTest, DomainsAreATree) {
  AddDrive("a", kOtherSocket, "pci0000:80", 1);
  v1alpha1::Nic& nic = nics_.emplace_back();
  nic.set_numa_node(-1);
  nic.set_pcie_root("pci0000:60");
  for (const char* address : {"0000:60:00.0", "0000:61:00.0", "0000:62:00.0", "0000:63:00.0"})
    nic.add_pci(address);
  gpus_[0].mutable_fabric()->set_cluster_uuid("c1");
  gpus_[0].mutable_fabric()->set_clique(3);
  std::vector<std::string> told;
  for (const v1alpha1::Domain& domain : FindDomains(facts_, gpus_, drives_, nics_))
    told.push_back(absl::StrCat(domain.kind(), " ", domain.name(), " in ", domain.parent()));
  EXPECT_THAT(told, ElementsAre("NUMANode numa-0 in ", "NUMANode numa-1 in ",
                                "NVLinkClique nvlink-c1-3 in ", "PCIeRoot pci0000:40 in numa-0",
                                "PCIeRoot pci0000:60 in ", "PCIeRoot pci0000:80 in numa-1",
                                "PCIeSwitch switch-0000:41:00.0 in pci0000:40",
                                "PCIeSwitch switch-0000:61:00.0 in pci0000:60",
                                "PCIeSwitch switch-0000:81:00.0 in pci0000:80"));
  EXPECT_EQ(gpus_[0].pcie_switch(), "0000:41:00.0");
  EXPECT_EQ(nics_[0].pcie_switch(), "0000:61:00.0");
}

TEST_F(GpuPlacesTest, DrivesThatAreNoNvmeHaveNoPaths) {
  AddDrive("a", kSameSwitch, "pci0000:40", 0).transport = "sata";
  EXPECT_THAT(FindPaths(facts_, gpus_, drives_), IsEmpty());
}

}  // namespace
}  // namespace ashlar::node_agent
