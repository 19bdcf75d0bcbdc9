#include "controller/slices/gpu_devices.h"

#include <algorithm>
#include <set>

#include "absl/strings/str_cat.h"
#include "controller/dra_names/device_names.h"
#include "gtest/gtest.h"

namespace ashlar::controller {
namespace {

constexpr int64_t kGi = int64_t{1} << 30;

v1alpha1::MigProfile Profile(int id, const std::string& name, int compute, int sms, int size,
                             const std::vector<int>& starts) {
  v1alpha1::MigProfile profile;
  profile.set_id(id);
  profile.set_name(name);
  profile.set_compute_slices(compute);
  profile.set_multiprocessors(sms);
  profile.set_memory(10 * kGi * size);
  for (const int start : starts) {
    profile.add_placements()->set_start(start);
    profile.mutable_placements(profile.placements_size() - 1)->set_size(size);
  }
  return profile;
}

v1alpha1::Gpu H100(int number, bool divided) {
  v1alpha1::Gpu gpu;
  gpu.set_uuid(absl::StrCat("GPU-0000000", number, "-0000-0000-0000-000000000000"));
  gpu.set_product("NVIDIA H100 80GB HBM3");
  gpu.set_memory(80 * kGi);
  gpu.set_cuda_capability("9.0");
  gpu.set_numa_node(-1);
  v1alpha1::Mig& mig = *gpu.mutable_mig();
  mig.set_enabled(divided);
  *mig.add_profiles() = Profile(19, "1g.10gb", 1, 16, 1, {0, 1, 2, 3, 4, 5, 6});
  *mig.add_profiles() = Profile(15, "1g.20gb", 1, 26, 2, {0, 2, 4, 6});
  *mig.add_profiles() = Profile(14, "2g.20gb", 2, 32, 2, {0, 2, 4});
  *mig.add_profiles() = Profile(9, "3g.40gb", 3, 60, 4, {0, 4});
  *mig.add_profiles() = Profile(5, "4g.40gb", 4, 64, 4, {0});
  *mig.add_profiles() = Profile(0, "7g.80gb", 7, 132, 8, {0});
  return gpu;
}

GpuDevices Of(const agent::v1::Inventory& inventory, absl::Time now = absl::UnixEpoch()) {
  return DevicesOfGpus({inventory, false, now});
}

std::vector<k8s::Device> Flat(const GpuDevices& devices) {
  std::vector<k8s::Device> all;
  for (const SliceContent& slice : devices.slices)
    all.insert(all.end(), slice.devices.begin(), slice.devices.end());
  return all;
}

TEST(GpuDevices, EightDividedGpusKeepTheLimitsOfTheApi) {
  agent::v1::Inventory inventory;
  for (int i = 0; i < 9; ++i) *inventory.add_gpus() = H100(i, true);
  const GpuDevices devices = Of(inventory);
  std::set<std::string> names;
  for (const SliceContent& slice : devices.slices) {
    EXPECT_TRUE(slice.devices.empty() || slice.counters.empty());
    EXPECT_LE(slice.devices.size(), size_t{kMaxDevicesPerSlice});
    EXPECT_LE(slice.counters.size(), size_t{kMaxCounterSetsPerSlice});
    for (const k8s::CounterSet& set : slice.counters)
      EXPECT_LE(set.counters_size(), kMaxCountersPerSet);
    for (const k8s::Device& device : slice.devices) {
      EXPECT_TRUE(names.insert(device.name()).second);
      EXPECT_LE(device.attributes_size() + device.capacity_size(), 32);
      EXPECT_LE(device.name().size(), 63u);
    }
  }
  EXPECT_EQ(names.size(), 9u * 18);
}

TEST(GpuDevices, CountersOfOneGpuAllowWhatFitsTogetherAndNothingElse) {
  agent::v1::Inventory inventory;
  *inventory.add_gpus() = H100(0, true);
  const GpuDevices devices = Of(inventory);
  const k8s::CounterSet& set = devices.slices[0].counters[0];
  const auto fit = [&](const std::vector<std::string>& names) {
    std::map<std::string, int64_t> left;
    for (const auto& [name, counter] : set.counters()) left[name] = counter.value();
    for (const k8s::Device& device : Flat(devices))
      if (std::count(names.begin(), names.end(), device.name()) > 0)
        for (const auto& [name, counter] : device.consumes_counters(0).counters())
          left[name] -= counter.value();
    return std::all_of(left.begin(), left.end(), [](const auto& one) { return one.second >= 0; });
  };
  const std::string& uuid = inventory.gpus(0).uuid();
  const auto part = [&](const char* profile, int start, int size) {
    return GpuPartDeviceName(uuid, profile, start, size);
  };
  EXPECT_TRUE(fit({part("3g.40gb", 0, 4), part("3g.40gb", 4, 4)}));
  EXPECT_TRUE(fit({part("4g.40gb", 0, 4), part("3g.40gb", 4, 4)}));
  EXPECT_FALSE(fit({part("3g.40gb", 0, 4), part("1g.10gb", 2, 1)}));
  EXPECT_FALSE(fit({part("7g.80gb", 0, 8), part("1g.10gb", 6, 1)}));
}

TEST(GpuDevices, WhatOthersMadeIsNotOffered) {
  agent::v1::Inventory inventory;
  *inventory.add_gpus() = H100(0, true);
  v1alpha1::MigInstance& instance = *inventory.mutable_gpus(0)->mutable_mig()->add_instances();
  instance.set_id(1);
  instance.set_profile_id(9);
  instance.set_start(4);
  instance.set_size(4);
  GpuDevices devices = Of(inventory);
  EXPECT_EQ(devices.slices[0].counters[0].counters().at("memory-slice-5").value(), 0);
  EXPECT_EQ(devices.slices[0].counters[0].counters().at("compute-slices").value(), 4);
  agent::v1::GpuPartitionState& ours = *inventory.add_gpu_partitions();
  ours.set_gpu(inventory.gpus(0).uuid());
  ours.set_gpu_instance(1);
  ours.set_start(4);
  ours.set_size(4);
  devices = Of(inventory);
  EXPECT_EQ(devices.slices[0].counters[0].counters().at("memory-slice-5").value(), 1);
}

TEST(GpuDevices, AGpuThatIsNotDividedIsThereAsAWholeToo) {
  agent::v1::Inventory inventory;
  *inventory.add_gpus() = H100(0, false);
  const auto devices = Flat(Of(inventory));
  ASSERT_EQ(devices.size(), 19u);
  EXPECT_EQ(devices[0].name(), GpuDeviceName(inventory.gpus(0).uuid()));
  EXPECT_EQ(devices[0].attributes().at(kCudaCapabilityAttribute).version(), "9.0.0");
  EXPECT_EQ(devices[0].consumes_counters(0).counters().at("compute-slices").value(), 7);
  inventory.mutable_gpus(0)->clear_mig();
  EXPECT_EQ(Flat(Of(inventory)).size(), 1u);
  EXPECT_EQ(Of(inventory).slices.size(), 1u);
}

TEST(GpuDevices, TaintsFollowTheHealthAndEndWithTheirCause) {
  agent::v1::Inventory inventory;
  *inventory.add_gpus() = H100(0, false);
  v1alpha1::GpuHealth& health = *inventory.mutable_gpus(0)->mutable_health();
  const auto taint = [&](absl::Time now = absl::UnixEpoch()) {
    const auto devices = Flat(Of(inventory, now));
    const k8s::Device& device = devices.back();  // of a part, as of the whole
    return device.taints().empty()
               ? std::string()
               : absl::StrCat(device.taints(0).key(), "=", device.taints(0).value(), ":",
                              device.taints(0).effect());
  };
  EXPECT_EQ(taint(), "");
  health.set_problem("lost");
  EXPECT_EQ(taint(), "ashlar.dev/gpu-lost=:NoExecute");
  health.clear_problem();
  health.set_recovery_action("DrainAndReset");
  EXPECT_EQ(taint(), "ashlar.dev/gpu-recovery=DrainAndReset:NoSchedule");
  health.set_recovery_action("None");
  v1alpha1::GpuXid& xid = *health.add_xids();
  xid.set_code(13);  // of a program
  EXPECT_EQ(taint(), "");
  xid.set_code(79);
  xid.mutable_at()->set_seconds(1000);
  EXPECT_EQ(taint(absl::FromUnixSeconds(1001)), "ashlar.dev/gpu-xid=79:NoSchedule");
  EXPECT_EQ(Of(inventory, absl::FromUnixSeconds(1001)).until, absl::FromUnixSeconds(1600));
  EXPECT_EQ(taint(absl::FromUnixSeconds(1600)), "");
}

TEST(GpuDevices, NvidiasPluginAndDriverAreOtherOwners) {
  const auto node = [](const char* text) { return *ParseJson(text); };
  EXPECT_EQ(OtherGpuOwner(Json(), false), "");
  EXPECT_EQ(OtherGpuOwner(node(R"({"status":{"allocatable":{"nvidia.com/gpu":"0"}}})"), false), "");
  EXPECT_EQ(OtherGpuOwner(node(R"({"status":{"allocatable":{"nvidia.com/gpu":"8"}}})"), false),
            "a device plugin that offers nvidia.com/gpu");
  EXPECT_EQ(OtherGpuOwner(Json(), true), "ResourceSlices of gpu.nvidia.com");
}

TEST(GpuDevices, WhatTakesOfAReservedPlaceIsForItsOwnerAlone) {
  agent::v1::Inventory inventory;
  *inventory.add_gpus() = H100(0, false);
  *inventory.add_gpus() = H100(1, false);
  const std::string first = inventory.gpus(0).uuid(), second = inventory.gpus(1).uuid();
  const GpuDevices devices = DevicesOfGpus(
      {inventory, false, absl::UnixEpoch(), {{first, 4, 4, "uid-a"}, {second, 0, 0, "uid-b"}}});
  const auto owner = [&](const std::string& name) -> std::string {
    for (const k8s::Device& device : Flat(devices))
      if (device.name() == name)
        return device.taints().empty() ? "nobody" : device.taints(0).value();
    return "absent";
  };
  EXPECT_EQ(owner(GpuPartDeviceName(first, "3g.40gb", 4, 4)), "uid-a");
  EXPECT_EQ(owner(GpuPartDeviceName(first, "1g.10gb", 6, 1)), "uid-a");
  EXPECT_EQ(owner(GpuPartDeviceName(first, "3g.40gb", 0, 4)), "nobody");
  EXPECT_EQ(owner(GpuPartDeviceName(first, "1g.10gb", 3, 1)), "nobody");
  EXPECT_EQ(owner(GpuDeviceName(first)), "uid-a");
  EXPECT_EQ(owner(GpuDeviceName(second)), "uid-b");
  EXPECT_EQ(owner(GpuPartDeviceName(second, "1g.10gb", 0, 1)), "uid-b");
}

}  // namespace
}  // namespace ashlar::controller
