#include "controller/slices/volume_devices.h"

#include "controller/dra_names/device_names.h"
#include "controller/dra_names/drive_names.h"
#include "controller/slices/drive_devices.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace ashlar::controller {
namespace {

using ::testing::IsEmpty;

constexpr int64_t kGi = int64_t{1} << 30;

class VolumeDevicesTest : public testing::Test {
 protected:
  VolumeDevicesTest() : volume_(volumes_.emplace_back()) {
    volume_.mutable_metadata()->set_name("pvc-1");
    volume_.mutable_spec()->set_pool("fast");
    volume_.mutable_spec()->set_mode("Filesystem");
    volume_.mutable_spec()->set_node_name("n1");
    volume_.mutable_spec()->mutable_claim_ref()->set_namespace_("owner");
    volume_.mutable_spec()->mutable_claim_ref()->set_name("data");
    volume_.mutable_spec()->mutable_offer()->add_namespaces("team");
    volume_.mutable_status()->set_size(5 * kGi);
    agent::v1::VolumeState& state = *inventory_.add_volumes();
    state.set_volume_id("pvc-1");
    state.set_drive("S1");
    state.set_fs_type("xfs");
    state.set_healthy(true);
    agent::v1::Drive& drive = *inventory_.add_drives();
    drive.set_id("S1");
    drive.set_pci_address("0000:44:00.0");
    drive.set_numa_node(1);
    drive.add_paths()->set_pcie_root("pci0000:40");
    for (const char* address : {"0000:40:00.0", "0000:41:00.0", "0000:42:01.0", "0000:44:00.0"})
      drive.mutable_paths(0)->add_pci(address);
  }

  std::vector<k8s::Device> Devices() {
    return VolumeDevices({inventory_, silent_, volumes_, published_,
                          [this](const std::string&) { return in_use_; }});
  }
  // KEY=VALUE of the only taint of the only device; empty: it has none.
  std::string Taint() {
    const auto devices = Devices();
    EXPECT_EQ(devices.size(), 1u);
    if (devices.empty() || devices[0].taints().empty()) return "";
    EXPECT_EQ(devices[0].taints_size(), 1);
    EXPECT_EQ(devices[0].taints(0).effect(), "NoSchedule");
    return devices[0].taints(0).key() + "=" + devices[0].taints(0).value();
  }
  agent::v1::VolumeState& state() { return *inventory_.mutable_volumes(0); }

  agent::v1::Inventory inventory_;
  std::vector<v1alpha1::Volume> volumes_;
  v1alpha1::Volume& volume_;
  std::vector<k8s::Device> published_;
  bool silent_ = false;
  bool in_use_ = false;
};

TEST_F(VolumeDevicesTest, AnOfferedVolumeIsADeviceWithItsPlace) {
  const auto devices = Devices();
  ASSERT_EQ(devices.size(), 1u);
  const k8s::Device& device = devices[0];
  EXPECT_EQ(device.name(), VolumeDeviceName("pvc-1"));
  EXPECT_TRUE(IsVolumeDevice(device.name()));
  EXPECT_FALSE(device.allow_multiple_allocations());
  EXPECT_EQ(device.binding_conditions(0), kVolumeReady);
  const auto text = [&](const char* name) { return device.attributes().at(name).string(); };
  EXPECT_EQ(text(kTypeAttribute), kVolumeType);
  EXPECT_EQ(text(kVolumeAttribute), "pvc-1");
  EXPECT_EQ(text(kPoolAttribute), "fast");
  EXPECT_EQ(text(kClaimNamespaceAttribute), "owner");
  EXPECT_EQ(text(kClaimNameAttribute), "data");
  EXPECT_EQ(text(kFsTypeAttribute), "xfs");
  EXPECT_EQ(text(kPciBusIdAttribute), "0000:44:00.0");
  EXPECT_EQ(text(kPcieRootAttribute), "pci0000:40");
  EXPECT_EQ(text(kPcieSwitchAttribute), "0000:41:00.0");
  EXPECT_EQ(device.attributes().at(kNumaNodeAttribute).int_(), 1);
  EXPECT_EQ(device.capacity().at(kSizeCapacity).value(), 5 * kGi);
  EXPECT_EQ(device.capacity().count(kStorageCapacity), 0u) << "who asks for bytes must not get it";
  EXPECT_EQ(Taint(), "");
}

TEST_F(VolumeDevicesTest, ReadersShareItAndTakeNothingOfIt) {
  volume_.mutable_spec()->mutable_offer()->set_read_only(true);
  const auto devices = Devices();
  ASSERT_EQ(devices.size(), 1u);
  EXPECT_TRUE(devices[0].allow_multiple_allocations());
  EXPECT_EQ(devices[0].capacity().at(kSizeCapacity).request_policy().default_(), 0);
  EXPECT_TRUE(devices[0].attributes().at(kReadOnlyAttribute).bool_());
}

TEST_F(VolumeDevicesTest, OnlyWhatIsOfferedWholeAndStaysIsPublished) {
  const v1alpha1::Volume whole = volume_;
  const auto published = [&](const std::function<void(v1alpha1::Volume&)>& change) {
    volume_ = whole;
    change(volume_);
    return !Devices().empty();
  };
  EXPECT_TRUE(published([](v1alpha1::Volume&) {}));
  EXPECT_FALSE(published([](v1alpha1::Volume& v) { v.mutable_spec()->clear_offer(); }));
  EXPECT_FALSE(published(
      [](v1alpha1::Volume& v) { v.mutable_spec()->mutable_offer()->clear_namespaces(); }));
  EXPECT_FALSE(published([](v1alpha1::Volume& v) { v.mutable_status()->clear_size(); }));
  EXPECT_FALSE(
      published([](v1alpha1::Volume& v) { v.mutable_spec()->mutable_pod()->set_name("p"); }));
  EXPECT_FALSE(published([](v1alpha1::Volume& v) {
    v.mutable_metadata()->mutable_deletion_timestamp()->set_seconds(1);
  }));
  EXPECT_FALSE(published([](v1alpha1::Volume& v) {
    (*v.mutable_metadata()->mutable_labels())[kClaimUidLabel] = "u";
  }));
}

TEST_F(VolumeDevicesTest, ItIsForTheNamespacesThatAreNamed) {
  EXPECT_TRUE(IsOfferedTo(volume_, "team"));
  EXPECT_FALSE(IsOfferedTo(volume_, "owner"));
  EXPECT_FALSE(IsOfferedTo(volume_, ""));
  EXPECT_FALSE(IsOfferedTo(volume_, "*"));
  volume_.mutable_spec()->mutable_offer()->add_namespaces("owner");
  EXPECT_TRUE(IsOfferedTo(volume_, "owner"));
}

TEST_F(VolumeDevicesTest, TaintsSayWhyNobodyGetsIt) {
  state().set_staged(true);
  EXPECT_EQ(Taint(), "ashlar.dev/volume-in-use=");
  in_use_ = true;
  EXPECT_EQ(Taint(), "") << "it is staged for the claim that holds it";
  state().set_healthy(false);
  state().set_reason("DriveMissing");
  EXPECT_EQ(Taint(), "ashlar.dev/volume-unhealthy=DriveMissing");
  inventory_.clear_volumes();
  EXPECT_EQ(Taint(), "ashlar.dev/volume-unhealthy=NotReported");
}

TEST_F(VolumeDevicesTest, WhatAClaimHoldsStaysPublishedAndIsGivenToNobodyElse) {
  published_ = Devices();
  volume_.mutable_spec()->clear_offer();
  EXPECT_THAT(Devices(), IsEmpty());
  in_use_ = true;
  EXPECT_EQ(Taint(), "ashlar.dev/volume-withdrawn=");
  volume_.mutable_spec()->mutable_offer()->add_namespaces("team");
  EXPECT_EQ(Taint(), "");
  silent_ = true;
  EXPECT_EQ(Taint(), "ashlar.dev/agent-silent=");
}

}  // namespace
}  // namespace ashlar::controller
