#include "controller/claims/claim_plan.h"

#include <map>

#include "controller/claims/gpu_part_config.h"
#include "controller/claims/volume_config.h"
#include "controller/dra_names/device_names.h"
#include "controller/dra_names/drive_names.h"
#include "controller/slices/drive_devices.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/api/conditions.h"

namespace ashlar::controller {
namespace {

using testing::HasSubstr;

constexpr int64_t kGi = int64_t{1} << 30;
constexpr char kHead[] = R"("apiVersion": "ashlar.dev/v1alpha1", "kind": "VolumeConfig")";

std::string Refused(const std::string& fields) {
  const auto config = ParseVolumeConfig("{" + std::string(kHead) + fields + "}", "r");
  return config.ok() ? "accepted" : std::string(config.status().message());
}

TEST(VolumeConfig, DefaultsNameThePathByTheRequest) {
  EXPECT_EQ(ParseVolumeConfig("", "scratch/small")->path, "/ashlar/scratch");
  EXPECT_EQ(ParseVolumeConfig("", "scratch")->mode, "Filesystem");
  const std::string block = "{" + std::string(kHead) + R"(, "mode": "Block"})";
  EXPECT_EQ(ParseVolumeConfig(block, "raw")->path, "/dev/ashlar/raw");
}

TEST(VolumeConfig, RefusalsNameTheFieldTheValueAndWhatIsAccepted) {
  EXPECT_EQ(Refused(R"(, "mode": "Raw")"),
            "VolumeConfig.mode: Invalid value: \"Raw\": must be one of Block, Filesystem");
  EXPECT_EQ(Refused(R"(, "fsType": "zfs")"),
            "VolumeConfig.fsType: Invalid value: \"zfs\": must be one of btrfs, ext4, xfs");
  EXPECT_THAT(Refused(R"(, "mode": "Block", "fsType": "xfs")"), HasSubstr("must be unset"));
  for (const char* path : {"data", "/", "/a/../b", "/a//b", "/a b", "/a/", "/a:b", ""})
    EXPECT_THAT(Refused(std::string(", \"path\": \"") + path + "\""),
                HasSubstr("must be an absolute path"));
  EXPECT_THAT(Refused(R"(, "size": "1Gi")"),
              HasSubstr("VolumeConfig.size: Invalid value: \"1Gi\": no such field"));
  EXPECT_THAT(Refused(R"(, "readOnly": "yes")"), HasSubstr("must be true or false"));
  EXPECT_THAT(std::string(ParseVolumeConfig("{}", "r").status().message()),
              HasSubstr("VolumeConfig.apiVersion"));
  EXPECT_FALSE(ParseVolumeConfig("[]", "r").ok());
  EXPECT_EQ(Refused(R"(, "path": "/data/a")"), "accepted");
  EXPECT_THAT(Refused(R"(, "limits": 5)"), HasSubstr("must be an object"));
  EXPECT_THAT(Refused(R"(, "limits": {"iops": 5})"),
              HasSubstr("VolumeConfig.limits.iops: Invalid value: 5: no such field"));
  for (const char* value : {"0", "-1", "0.5", "\"fast\"", "true", "null", "[]"})
    EXPECT_THAT(Refused(std::string(R"(, "limits": {"readIops": )") + value + "}"),
                HasSubstr("VolumeConfig.limits.readIops: Invalid value: "));
}

class ClaimPlanTest : public testing::Test {
 protected:
  ClaimPlanTest() {
    claim_.mutable_metadata()->set_uid("u");
    claim_.mutable_metadata()->set_name("c");
    claim_.mutable_metadata()->set_namespace_("ns");
    agent::v1::PoolState& pool = *inventory_.add_pools();
    pool.set_name("fast");
    pool.add_drives()->set_id("S1");
    pool.add_drives()->set_id("S2");
  }

  k8s::DeviceRequestAllocationResult& Allocate(const std::string& request,
                                               const std::string& device, const std::string& share,
                                               const char* driver = kNvmeDriver) {
    auto& result = *claim_.mutable_status()->mutable_allocation()->mutable_devices()->add_results();
    result.set_request(request);
    result.set_driver(driver);
    result.set_pool("node-1");
    result.set_device(device);
    result.set_share_id(share);
    if (driver == std::string(kNvmeDriver)) {
      (*result.mutable_consumed_capacity())[kStorageCapacity] = "10Gi";
      result.add_binding_conditions(kVolumeReady);
      result.add_binding_failure_conditions(kVolumeFailed);
    }
    return result;
  }

  void Configure(const std::string& request, const std::string& fields) {
    auto& config = *claim_.mutable_status()->mutable_allocation()->mutable_devices()->add_config();
    if (!request.empty()) config.add_requests(request);
    config.mutable_opaque()->set_driver(kNvmeDriver);
    config.mutable_opaque()->set_parameters("{" + std::string(kHead) + fields + "}");
  }

  ClaimPlan Plan() {
    const auto named = [this](const std::string& name) {
      const auto found = volumes_.find(name);
      return found == volumes_.end() ? nullptr : &found->second;
    };
    ClaimSources sources;
    sources.inventory = [this](const std::string&) { return heard_ ? &inventory_ : nullptr; };
    sources.volume = named;
    sources.offered = [&](const std::string&, const std::string& device) {
      return device == VolumeDeviceName("pvc-1") ? named("pvc-1") : nullptr;
    };
    sources.slice = [this](const std::string& driver, const std::string& pool, const std::string&) {
      return driver == slice_.spec().driver() && pool == slice_.spec().pool().name() ? &slice_
                                                                                     : nullptr;
    };
    return PlanClaim(claim_, sources);
  }

  // Status of the condition of the n-th device, with its reason.
  std::string Condition(int device, const char* type) {
    const k8s::Condition* condition =
        api::FindCondition(claim_.status().devices(device).conditions(), type);
    return condition == nullptr ? "" : condition->status() + " " + condition->reason();
  }

  k8s::ResourceClaim claim_;
  agent::v1::Inventory inventory_;
  k8s::ResourceSlice slice_;  // the only one of its driver and pool
  bool heard_ = true;
  std::map<std::string, v1alpha1::Volume> volumes_;
};

TEST_F(ClaimPlanTest, VolumesAreToldOfTheClaimsGpusWhoeverPublishesThem) {
  for (const char* uuid : {"GPU-a", "GPU-b", "GPU-c"}) inventory_.add_gpus()->set_uuid(uuid);
  inventory_.mutable_gpus(2)->set_pci_address("0000:1b:00.0");
  slice_.mutable_spec()->set_driver("gpu.nvidia.com");
  slice_.mutable_spec()->set_node_name("node-1");
  slice_.mutable_spec()->mutable_pool()->set_name("node-1");
  const auto publish = [&](const char* name, const char* attribute, const char* value) {
    k8s::Device& device = *slice_.mutable_spec()->add_devices();
    device.set_name(name);
    (*device.mutable_attributes())[attribute].set_string(value);
  };
  publish("gpu-0", "uuid", "GPU-a");
  publish("gpu-1-mig-9", "gpu.nvidia.com/parentUUID", "GPU-b");
  publish("gpu-2", "resource.kubernetes.io/pciBusID", "0000:1B:00.0");
  Allocate("scratch", DriveDeviceName("S1"), "1");
  const auto told = [&] {
    const ClaimPlan plan = Plan();
    const auto& gpus = plan.devices[0].volume.spec().near().gpus();
    return std::vector<std::string>(gpus.begin(), gpus.end());
  };
  EXPECT_THAT(told(), testing::IsEmpty());
  Allocate("gpu", "gpu-1-mig-9", "", "gpu.nvidia.com");
  EXPECT_THAT(told(), testing::ElementsAre("GPU-b"));
  for (const char* device : {"gpu-0", "gpu-2", "gpu-0", "gpu-9"})
    Allocate("gpu", device, "", "gpu.nvidia.com");
  EXPECT_THAT(told(), testing::ElementsAre("GPU-b", "GPU-a", "GPU-c"));
  slice_.mutable_spec()->set_node_name("node-2");
  EXPECT_THAT(told(), testing::IsEmpty());
}

TEST_F(ClaimPlanTest, EachDriveOfTheClaimIsAVolumeThere) {
  Allocate("scratch", DriveDeviceName("S2"), "1");
  Allocate("scratch", DriveDeviceName("S1"), "2");
  Allocate("other", "x", "", "other.example.com");
  Configure("", R"(, "path": "/class")");
  Configure("scratch", R"(, "path": "/data", "fsType": "xfs")");
  const ClaimPlan plan = Plan();
  EXPECT_EQ(plan.node, "node-1");
  ASSERT_EQ(plan.devices.size(), 2u);
  const v1alpha1::Volume& volume = plan.devices[0].volume;
  EXPECT_EQ(volume.metadata().name(), "claim-u-scratch");
  EXPECT_EQ(volume.metadata().labels().at(kClaimUidLabel), "u");
  EXPECT_EQ(volume.spec().pool(), "fast");
  EXPECT_EQ(volume.spec().drive(), "S2");
  EXPECT_EQ(volume.spec().node_name(), "node-1");
  EXPECT_EQ(volume.spec().size(), 10 * kGi);
  EXPECT_EQ(volume.spec().fs_type(), "xfs");
  EXPECT_EQ(plan.devices[0].told.volume().path(), "/data");
  EXPECT_EQ(plan.devices[1].volume.metadata().name(), "claim-u-scratch-1");
  EXPECT_EQ(plan.devices[1].told.volume().path(), "/data-1");
  EXPECT_EQ(TellRequest(claim_, plan).devices_size(), 2);
}

TEST_F(ClaimPlanTest, TwoRequestsAtOnePathAreRefused) {
  Allocate("a", DriveDeviceName("S1"), "1");
  Allocate("b", DriveDeviceName("S1"), "2");
  Configure("", R"(, "path": "/data")");
  const ClaimPlan plan = Plan();
  EXPECT_EQ(plan.devices[0].trouble, Trouble::kNone);
  EXPECT_EQ(plan.devices[1].trouble, Trouble::kInvalid);
  EXPECT_THAT(plan.devices[1].message, HasSubstr("\"/data\": another request"));
}

TEST_F(ClaimPlanTest, ADriveThatIsGoneFailsAndAnAgentThatIsSilentDoesNot) {
  Allocate("a", DriveDeviceName("S9"), "");
  EXPECT_EQ(Plan().devices[0].trouble, Trouble::kFailed);
  heard_ = false;
  EXPECT_EQ(Plan().devices[0].trouble, Trouble::kWaiting);
}

TEST_F(ClaimPlanTest, GpusAndPartsOfThemAreKnownByTheirNames) {
  v1alpha1::Gpu& gpu = *inventory_.add_gpus();
  gpu.set_uuid("GPU-1");
  v1alpha1::MigProfile& profile = *gpu.mutable_mig()->add_profiles();
  profile.set_name("3g.40gb");
  profile.add_placements()->set_start(4);
  profile.mutable_placements(0)->set_size(4);
  Allocate("whole", GpuDeviceName("GPU-1"), "", kGpuDriver);
  Allocate("part", GpuPartDeviceName("GPU-1", "3g.40gb", 4, 4), "", kGpuDriver);
  Allocate("none", "gpu-none", "", kGpuDriver);
  const ClaimPlan plan = Plan();
  EXPECT_EQ(plan.devices[0].told.gpu().uuid(), "GPU-1");
  EXPECT_EQ(plan.devices[1].told.gpu_partition().profile(), "3g.40gb");
  EXPECT_EQ(plan.devices[1].told.gpu_partition().start(), 4);
  EXPECT_EQ(plan.devices[2].reason, "GpuMissing");
  EXPECT_EQ(plan.devices[1].told.gpu_partition().keep_seconds(), 0);
  const auto configure = [&](const std::string& text) {
    auto& devices = *claim_.mutable_status()->mutable_allocation()->mutable_devices();
    devices.clear_config();
    devices.add_config()->mutable_opaque()->set_driver(kGpuDriver);
    devices.mutable_config(0)->mutable_opaque()->set_parameters(text);
    return Plan().devices[1];
  };
  EXPECT_EQ(configure(DumpJson(ToJson(GpuPartConfig{600}))).told.gpu_partition().keep_seconds(),
            600);
  EXPECT_EQ(configure(DumpJson(ToJson(GpuPartConfig{-1}))).reason, "InvalidConfig");
  EXPECT_EQ(configure(R"({"kind": "GPUPartConfig"})").reason, "InvalidConfig");
  EXPECT_EQ(configure("[]").reason, "InvalidConfig");
}

TEST_F(ClaimPlanTest, ReadyIsSaidWhenAllIsAndFailureLetsTheSchedulerGoElsewhere) {
  Allocate("a", DriveDeviceName("S1"), "1");
  Allocate("b", DriveDeviceName("S1"), "2");
  ClaimPlan plan = Plan();
  JudgeVolume(nullptr, plan.devices[1]);
  SetDeviceStatus(plan, claim_, absl::UnixEpoch());
  EXPECT_EQ(Condition(0, "Ready"), "True Ready");
  EXPECT_EQ(Condition(0, kVolumeReady), "False Carving");
  EXPECT_EQ(Condition(1, kVolumeReady), "False Carving");

  v1alpha1::Volume full = plan.devices[1].volume;
  k8s::Condition& carved = *full.mutable_status()->add_conditions();
  carved.set_type("Carved");
  carved.set_status("False");
  carved.set_reason("NoCapacity");
  JudgeVolume(&full, plan.devices[1]);
  SetDeviceStatus(plan, claim_, absl::UnixEpoch());
  EXPECT_EQ(Condition(0, kVolumeFailed), "True NoCapacity");
  EXPECT_EQ(claim_.status().devices_size(), 2);

  carved.set_reason("AgentUnavailable");
  JudgeVolume(&full, plan.devices[1]);
  SetDeviceStatus(plan, claim_, absl::UnixEpoch());
  EXPECT_EQ(Condition(0, kVolumeFailed), "False NotFailed");

  SetDeviceStatus(Plan(), claim_, absl::UnixEpoch());
  EXPECT_EQ(Condition(0, kVolumeReady), "True Ready");
  EXPECT_EQ(Condition(1, kVolumeReady), "True Ready");
}

// A claim of namespace ns that was given the Volume pvc-1.
class OfferedVolumeTest : public ClaimPlanTest {
 protected:
  OfferedVolumeTest() {
    volume_.mutable_metadata()->set_name("pvc-1");
    volume_.mutable_spec()->set_node_name("node-1");
    volume_.mutable_spec()->set_mode("Filesystem");
    volume_.mutable_spec()->mutable_offer()->add_namespaces("ns");
    volume_.mutable_status()->set_size(kGi);
    Allocate("data", VolumeDeviceName("pvc-1"), "");
  }
  // TROUBLE REASON of the only device; what is refused is withdrawn.
  std::string Refusal() {
    const PlannedDevice device = Plan().devices.at(0);
    EXPECT_EQ(device.withdrawn, device.trouble != Trouble::kNone);
    EXPECT_FALSE(device.wants_volume);
    static const char* const names[] = {"", "Waiting ", "Failed ", "Invalid "};
    return names[static_cast<int>(device.trouble)] + device.reason;
  }
  v1alpha1::Volume& volume_ = volumes_["pvc-1"];
};

TEST_F(OfferedVolumeTest, IsToldAsItIsAndNothingIsMade) {
  Configure("data", R"(, "path": "/model", "readOnly": false)");
  EXPECT_EQ(Refusal(), "");
  const agent::v1::ClaimVolume told = Plan().devices[0].told.volume();
  EXPECT_EQ(told.volume_id(), "pvc-1");
  EXPECT_EQ(told.path(), "/model");
  EXPECT_TRUE(told.existing());
  EXPECT_FALSE(told.read_only());
  volume_.mutable_spec()->mutable_offer()->set_read_only(true);
  EXPECT_TRUE(Plan().devices[0].told.volume().read_only()) << "whatever the claim says";
  volume_.mutable_spec()->set_mode("Block");
  claim_.mutable_status()->mutable_allocation()->mutable_devices()->clear_config();
  EXPECT_EQ(Plan().devices[0].told.volume().path(), "/dev/ashlar/data");
}

TEST_F(OfferedVolumeTest, IsForTheNamespacesThatItNamesAlone) {
  claim_.mutable_metadata()->set_namespace_("other");
  EXPECT_EQ(Refusal(), "Failed NotOffered");
  EXPECT_EQ(Plan().devices[0].told.volume().volume_id(), "");
  EXPECT_THAT(Plan().devices[0].message, HasSubstr("not offered to claims of namespace other"));
  volume_.mutable_spec()->mutable_claim_ref()->set_namespace_("other");
  EXPECT_EQ(Refusal(), "Failed NotOffered") << "its owner has its PersistentVolumeClaim";
}

TEST_F(OfferedVolumeTest, IsRefusedWhenItGoesOrIsOfferedNoMore) {
  volume_.mutable_metadata()->mutable_deletion_timestamp()->set_seconds(1);
  EXPECT_EQ(Refusal(), "Failed VolumeMissing");
  volume_.mutable_metadata()->clear_deletion_timestamp();
  volume_.mutable_spec()->mutable_offer()->set_namespaces(0, "other");
  EXPECT_EQ(Refusal(), "Failed NotOffered");
  // Pods that have it keep it, and the scheduler does not take their claim's devices.
  agent::v1::ClaimState& known = *inventory_.add_claims();
  known.set_uid("u");
  EXPECT_EQ(Refusal(), "Failed NotOffered");
  known.set_prepared(true);
  EXPECT_EQ(Refusal(), "Waiting NotOffered");
  volumes_.erase("pvc-1");
  EXPECT_EQ(Refusal(), "Waiting VolumeMissing");
}

TEST_F(OfferedVolumeTest, WithAdminAccessItWouldBeGivenTwice) {
  claim_.mutable_status()
      ->mutable_allocation()
      ->mutable_devices()
      ->mutable_results(0)
      ->set_admin_access(true);
  EXPECT_EQ(Refusal(), "Invalid InvalidConfig");
}

TEST_F(OfferedVolumeTest, CannotBeSaidToBeAnother) {
  const auto refused = [&](const char* fields) {
    claim_.mutable_status()->mutable_allocation()->mutable_devices()->clear_config();
    Configure("", fields);
    const PlannedDevice device = Plan().devices.at(0);
    EXPECT_EQ(device.trouble, Trouble::kInvalid) << fields;
    return device.message;
  };
  EXPECT_EQ(
      refused(R"(, "fsType": "xfs")"),
      "VolumeConfig.fsType: Invalid value: \"xfs\": must be unset for volume pvc-1, which has "
      "its own");
  EXPECT_THAT(refused(R"(, "limits": {"readIops": 5})"), HasSubstr("VolumeConfig.limits"));
  EXPECT_THAT(refused(R"(, "mode": "Block")"), HasSubstr("must be unset or Filesystem, as volume"));
}

TEST_F(ClaimPlanTest, LimitsAreTheVolumesAndHoldForThePodsOfTheClaim) {
  Allocate("a", DriveDeviceName("S1"), "1");
  Configure("a", R"(, "limits": {"readIops": "5k", "writeBytesPerSecond": 1048576})");
  for (const char* uid : {"pod-2", "pod-1"}) {
    auto& user = *claim_.mutable_status()->add_reserved_for();
    user.set_resource("pods");
    user.set_uid(uid);
  }
  auto& group = *claim_.mutable_status()->add_reserved_for();
  group.set_api_group("example.com");
  group.set_resource("pods");
  group.set_uid("other");
  const ClaimPlan plan = Plan();
  const v1alpha1::VolumeLimits& limits = plan.devices[0].volume.spec().limits();
  EXPECT_EQ(limits.read_iops(), 5000);
  EXPECT_EQ(limits.write_bytes_per_second(), 1048576);
  EXPECT_FALSE(limits.has_write_iops());
  EXPECT_THAT(TellRequest(claim_, plan).pod_uids(), testing::ElementsAre("pod-1", "pod-2"));
}

TEST_F(ClaimPlanTest, AVolumeOfTheAllocationBeforeIsNotTaken) {
  Allocate("a", DriveDeviceName("S1"), "1");
  PlannedDevice device = Plan().devices[0];
  v1alpha1::Volume old = device.volume;
  old.mutable_spec()->set_drive("S2");
  JudgeVolume(&old, device);
  EXPECT_EQ(device.reason, "Replacing");
}

}  // namespace
}  // namespace ashlar::controller
