// What a real kube-apiserver makes of the ResourceSlices that the controller publishes.
#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "ashlar/k8s/resource.codec.h"
#include "controller/dra_names/device_names.h"
#include "controller/dra_names/drive_names.h"
#include "controller/slices/drive_devices.h"
#include "controller/slices/gpu_devices.h"
#include "controller/slices/slice_pool.h"
#include "controller/slices/volume_devices.h"
#include "gtest/gtest.h"
#include "lib/kube/client.h"
#include "lib/kube/object.h"
#include "test/contract/kube_api_server.h"

namespace ashlar::controller {
namespace {

constexpr int64_t kGi = int64_t{1} << 30;

const api::KindInfo& kSlice() { return api::Kind<k8s::ResourceSlice>(); }

class ResourceSlicesTest : public testing::Test {
 protected:
  void SetUp() override {
    auto started = kube::KubeApiServer::Start();
    if (!started.ok()) {
      const char* ci = std::getenv("CI");
      if (ci != nullptr && std::string(ci) == "true") FAIL() << started.status();
      GTEST_SKIP() << started.status();
    }
    server_ = *std::move(started);
  }

  std::vector<Json> Stored(const PoolOwner& owner) {
    const auto list = server_->client().List(
        {}, kSlice(), {.field_selector = absl::StrCat("spec.driver=", owner.driver)});
    EXPECT_TRUE(list.ok()) << list.status();
    return list.ok() ? list->items : std::vector<Json>();
  }

  // Makes the writes; answers how many.
  int Bring(const PoolOwner& owner, const std::vector<SliceContent>& contents) {
    const auto writes = PlanPool(owner, Stored(owner), contents, {});
    for (const SliceWrite& write : writes) {
      absl::Status status;
      if (write.kind == SliceWrite::Kind::kCreate)
        status = server_->client().Create({}, kSlice(), write.object).status();
      else if (write.kind == SliceWrite::Kind::kUpdate)
        status =
            server_->client().Update({}, kSlice(), write.object, kube::Subresource::kNone).status();
      else
        status = server_->client().Delete({}, kSlice(), kube::KeyOf(write.object), {});
      EXPECT_TRUE(status.ok()) << status;
    }
    return static_cast<int>(writes.size());
  }

  std::shared_ptr<kube::KubeApiServer> server_;
};

std::vector<k8s::Device> Drives(const agent::v1::Inventory& inventory, bool silent) {
  return DriveDevices({inventory,
                       silent,
                       {},
                       [](const std::string&) { return false; },
                       [](const std::string&) { return false; }});
}

TEST_F(ResourceSlicesTest, DrivesAreAcceptedAndWrittenOnceForEachChange) {
  agent::v1::Inventory inventory;
  agent::v1::PoolState& pool = *inventory.add_pools();
  pool.set_name("fast");
  pool.set_ready(true);
  for (int i = 0; i < 70; ++i) {
    agent::v1::Drive& drive = *inventory.add_drives();
    drive.set_id(absl::StrCat("nvme.1234-", i));
    drive.set_serial(absl::StrCat("S", i));
    drive.set_model("A model of 40 characters, as NVMe has it");
    drive.set_pci_address("0000:44:00.0");
    agent::v1::PoolDriveState& room = *pool.add_drives();
    room.set_id(drive.id());
    room.set_allocatable_bytes(i == 0 ? (int64_t{2} << 20) : i * kGi);
    room.set_largest_volume_bytes(i == 1 ? (int64_t{1} << 20) : room.allocatable_bytes());
  }
  const PoolOwner owner{kNvmeDriver, "node-1", "5f2e52ee-5ba2-4be4-9fc9-67b1bf9f8f4d"};
  EXPECT_EQ(Bring(owner, InSlices(Drives(inventory, false))), 2);
  EXPECT_EQ(Bring(owner, InSlices(Drives(inventory, false))), 0);
  pool.mutable_drives(3)->set_allocatable_bytes(kGi);
  pool.mutable_drives(3)->set_largest_volume_bytes(kGi);
  EXPECT_EQ(Bring(owner, InSlices(Drives(inventory, false))), 1);
  EXPECT_EQ(Bring(owner, InSlices(Drives(inventory, true))), 2);  // taints that come later
  EXPECT_EQ(Bring(owner, InSlices(Drives(inventory, true))), 0);
  EXPECT_EQ(Bring(owner, InSlices(Drives(inventory, false))), 2);
  inventory.mutable_drives()->DeleteSubrange(8, 62);
  EXPECT_EQ(Bring(owner, InSlices(Drives(inventory, true))), 2);  // fewer slices, all tainted
  EXPECT_EQ(Bring(owner, InSlices(Drives(inventory, true))), 0);
  EXPECT_EQ(Bring(owner, {}), 1);
}

TEST_F(ResourceSlicesTest, OfferedVolumesAreAcceptedAndWrittenOnce) {
  std::vector<v1alpha1::Volume> volumes(2);
  agent::v1::Inventory inventory;
  for (size_t i = 0; i < volumes.size(); ++i) {
    volumes[i].mutable_metadata()->set_name(absl::StrCat("pvc-", i));
    volumes[i].mutable_spec()->set_pool("fast");
    volumes[i].mutable_spec()->set_mode("Filesystem");
    volumes[i].mutable_spec()->set_node_name("node-1");
    volumes[i].mutable_spec()->mutable_offer()->add_namespaces("ml");
    volumes[i].mutable_spec()->mutable_offer()->set_read_only(i == 1);
    volumes[i].mutable_status()->set_size(5 * kGi);
    inventory.add_volumes()->set_volume_id(volumes[i].metadata().name());
    inventory.mutable_volumes(static_cast<int>(i))->set_healthy(true);
  }
  const auto devices = [&] {
    return VolumeDevices({inventory, false, volumes, {}, [](const std::string&) { return false; }});
  };
  const PoolOwner owner{kNvmeDriver, "node-1", "5f2e52ee-5ba2-4be4-9fc9-67b1bf9f8f4d"};
  EXPECT_EQ(Bring(owner, InSlices(devices())), 1);
  EXPECT_EQ(Bring(owner, InSlices(devices())), 0);
  inventory.mutable_volumes(0)->set_staged(true);
  EXPECT_EQ(Bring(owner, InSlices(devices())), 1);
  EXPECT_EQ(Bring(owner, {}), 1);
}

TEST_F(ResourceSlicesTest, PartsOfEightGpusAreAccepted) {
  agent::v1::Inventory inventory;
  inventory.mutable_gpu_driver()->set_version("580.65.06");
  for (int i = 0; i < 8; ++i) {
    v1alpha1::Gpu& gpu = *inventory.add_gpus();
    gpu.set_uuid(absl::StrCat("GPU-0000000", i, "-0000-0000-0000-000000000000"));
    gpu.set_memory(80 * kGi);
    gpu.set_cuda_capability("9.0");
    gpu.mutable_health()->set_recovery_action("Reset");
    v1alpha1::MigProfile& profile = *gpu.mutable_mig()->add_profiles();
    profile.set_name("1g.10gb+me");
    profile.set_compute_slices(1);
    profile.set_multiprocessors(16);
    for (int start = 0; start < 7; ++start) {
      profile.add_placements()->set_start(start);
      profile.mutable_placements(start)->set_size(1);
    }
  }
  const PoolOwner owner{kGpuDriver, "node-1", ""};
  const auto contents = DevicesOfGpus({inventory, false, absl::UnixEpoch()}).slices;
  EXPECT_EQ(Bring(owner, contents), 2);
  EXPECT_EQ(Bring(owner, contents), 0);
  for (const Json& slice : Stored(owner))
    EXPECT_TRUE(slice["spec"].contains("devices") || slice["spec"].contains("sharedCounters"));
}

}  // namespace
}  // namespace ashlar::controller
