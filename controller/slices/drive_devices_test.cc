#include "controller/slices/drive_devices.h"

#include "controller/dra_names/device_names.h"
#include "controller/dra_names/drive_names.h"
#include "gtest/gtest.h"

namespace ashlar::controller {
namespace {

constexpr int64_t kMi = int64_t{1} << 20;
constexpr int64_t kGi = int64_t{1} << 30;

class DriveDevicesTest : public testing::Test {
 protected:
  DriveDevicesTest() {
    agent::v1::PoolState& pool = *inventory_.add_pools();
    pool.set_name("fast");
    pool.set_ready(true);
    agent::v1::PoolDriveState& room = *pool.add_drives();
    room.set_id("S1");
    room.set_allocatable_bytes(60 * kGi + 5);
    room.set_largest_volume_bytes(60 * kGi + 5);
    agent::v1::Drive& drive = *inventory_.add_drives();
    drive.set_id("S1");
    drive.set_serial("S1");
    drive.set_transport("nvme");
    drive.set_pci_address("0000:44:00.0");
    drive.set_numa_node(1);
    agent::v1::DrivePath& path = *drive.add_paths();
    path.set_pcie_root("pci0000:40");
    path.set_link_speed("32.0 GT/s");
    path.set_link_width(4);
    for (const char* address : {"0000:40:00.0", "0000:41:00.0", "0000:42:01.0", "0000:44:00.0"})
      path.add_pci(address);
    AddVolume("claim-1", 20 * kGi);
    AddVolume("pvc-1", 10 * kGi);
  }

  void AddVolume(const std::string& id, int64_t bytes) {
    agent::v1::VolumeState& volume = *inventory_.add_volumes();
    volume.set_volume_id(id);
    volume.set_pool("fast");
    volume.set_drive("S1");
    volume.set_size_bytes(bytes);
  }

  std::vector<k8s::Device> Devices() {
    return DriveDevices({inventory_, silent_, published_,
                         [](const std::string& volume) { return volume == "claim-1"; },
                         [this](const std::string&) { return in_use_; }});
  }

  agent::v1::PoolState& pool() { return *inventory_.mutable_pools(0); }

  agent::v1::Inventory inventory_;
  bool silent_ = false;
  bool in_use_ = false;
  std::vector<k8s::Device> published_;
};

TEST_F(DriveDevicesTest, CapacityIsWhatClaimsCouldGetIfNoneHadAny) {
  const auto devices = Devices();
  ASSERT_EQ(devices.size(), 1u);
  EXPECT_EQ(devices[0].name(), DriveDeviceName("S1"));
  EXPECT_TRUE(devices[0].allow_multiple_allocations());
  const k8s::DeviceCapacity& storage = devices[0].capacity().at(kStorageCapacity);
  EXPECT_EQ(storage.value(), 80 * kGi);
  EXPECT_EQ(storage.request_policy().default_(), kGi);
  EXPECT_EQ(storage.request_policy().valid_range().min(), kMi);
  EXPECT_FALSE(storage.request_policy().valid_range().has_max());
}

TEST_F(DriveDevicesTest, ARequestIsBoundedByTheLargestPieceThatIsFree) {
  pool().mutable_drives(0)->set_largest_volume_bytes(512 * kMi);
  const auto devices = Devices();
  const auto& policy = devices[0].capacity().at(kStorageCapacity).request_policy();
  EXPECT_EQ(policy.valid_range().max(), 512 * kMi);
  EXPECT_EQ(policy.default_(), 512 * kMi);
}

TEST_F(DriveDevicesTest, AttributesSayWhereTheDriveIs) {
  const auto devices = Devices();
  const auto& attributes = devices[0].attributes();
  EXPECT_EQ(attributes.at(kPciBusIdAttribute).string(), "0000:44:00.0");
  EXPECT_EQ(attributes.at(kPcieRootAttribute).string(), "pci0000:40");
  EXPECT_EQ(attributes.at(kPcieSwitchAttribute).string(), "0000:41:00.0");
  EXPECT_EQ(attributes.at(kNumaNodeAttribute).int_(), 1);
  EXPECT_EQ(attributes.at(kPcieGenerationAttribute).int_(), 5);
  EXPECT_EQ(attributes.at(kPcieLanesAttribute).int_(), 4);
  EXPECT_EQ(attributes.at(kPoolAttribute).string(), "fast");
  inventory_.mutable_drives(0)->set_serial(std::string(65, 'x'));
  EXPECT_EQ(Devices()[0].attributes().count(kSerialAttribute), 0u);
}

TEST_F(DriveDevicesTest, AFullDriveIsNotOffered) {
  inventory_.clear_volumes();
  pool().mutable_drives(0)->set_allocatable_bytes(kMi);
  EXPECT_TRUE(Devices().empty());
}

TEST_F(DriveDevicesTest, ADriveThatIsMissedStaysWithATaintUntilItIsBack) {
  published_ = Devices();
  const agent::v1::Inventory healthy = inventory_;
  inventory_.clear_drives();
  pool().set_ready(false);
  pool().set_reason("DriveMissing");
  pool().clear_drives();
  auto devices = Devices();
  ASSERT_EQ(devices.size(), 1u);
  ASSERT_EQ(devices[0].taints_size(), 1);
  EXPECT_EQ(devices[0].taints(0).key(), kDriveMissingTaint);
  EXPECT_EQ(devices[0].taints(0).effect(), "NoExecute");
  published_ = devices;
  inventory_ = healthy;
  EXPECT_EQ(Devices()[0].taints_size(), 0);
  // A pool that does without it lets it go, unless a claim holds it.
  inventory_.clear_drives();
  pool().clear_drives();
  EXPECT_TRUE(Devices().empty());
  in_use_ = true;
  EXPECT_EQ(Devices().size(), 1u);
}

TEST_F(DriveDevicesTest, WarningsAndSilenceTakeNoNewClaims) {
  inventory_.mutable_drives(0)->mutable_health()->set_critical_warnings(1);
  silent_ = true;
  const auto devices = Devices();
  ASSERT_EQ(devices[0].taints_size(), 2);
  EXPECT_EQ(devices[0].taints(0).key(), kDriveFailingTaint);
  EXPECT_EQ(devices[0].taints(0).value(), "SpareLow");
  EXPECT_EQ(devices[0].taints(1).key(), kAgentSilentTaint);
}

}  // namespace
}  // namespace ashlar::controller
