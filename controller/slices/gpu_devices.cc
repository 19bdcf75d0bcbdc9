#include "controller/slices/gpu_devices.h"

#include <algorithm>
#include <map>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "controller/dra_names/device_names.h"
#include "controller/slices/drive_devices.h"
#include "controller/slices/gpu_health.h"
#include "lib/api/quantity.h"

namespace ashlar::controller {
namespace {

using google::protobuf::Map;
using v1alpha1::Gpu;
using v1alpha1::MigProfile;
using Counters = std::map<std::string, int64_t>;

void CountEngines(const MigProfile& profile, Counters& counters) {
  counters["compute-slices"] += profile.compute_slices();
  counters["multiprocessors"] += profile.multiprocessors();
  counters["copy-engines"] += profile.copy_engines();
  counters["decoders"] += profile.decoders();
  counters["encoders"] += profile.encoders();
  counters["jpegs"] += profile.jpegs();
  counters["ofas"] += profile.ofas();
}

std::string MemorySlice(int index) { return absl::StrCat("memory-slice-", index); }

// What a part of the profile takes at the place.
Counters CountersOf(const MigProfile& profile, int start, int size) {
  Counters counters;
  CountEngines(profile, counters);
  for (int i = start; i < start + size; ++i) counters[MemorySlice(i)] = 1;
  return counters;
}

bool CanBeDivided(const Gpu& gpu) { return !gpu.mig().profiles().empty(); }

// What the whole GPU has: the most that a profile takes of each.
Counters TotalOf(const Gpu& gpu) {
  Counters total;
  for (const MigProfile& profile : gpu.mig().profiles())
    for (const v1alpha1::MigPlacement& place : profile.placements())
      for (const auto& [name, count] : CountersOf(profile, place.start(), place.size()))
        total[name] = std::max(total[name], count);
  return total;
}

// Whether an agent of ours made the instance, for a claim or to be kept.
bool IsOurs(const agent::v1::Inventory& inventory, const Gpu& gpu,
            const v1alpha1::MigInstance& instance) {
  return std::any_of(inventory.gpu_partitions().begin(), inventory.gpu_partitions().end(),
                     [&](const agent::v1::GpuPartitionState& made) {
                       return made.gpu() == gpu.uuid() && made.start() == instance.start() &&
                              made.size() == instance.size() &&
                              made.gpu_instance() == instance.id();
                     });
}

Counters FreeFor(const agent::v1::Inventory& inventory, const Gpu& gpu) {
  Counters free = TotalOf(gpu);
  for (const v1alpha1::MigInstance& instance : gpu.mig().instances()) {
    if (IsOurs(inventory, gpu, instance)) continue;
    for (const MigProfile& profile : gpu.mig().profiles()) {
      if (profile.id() != instance.profile_id()) continue;
      for (const auto& [name, count] : CountersOf(profile, instance.start(), instance.size()))
        free[name] = std::max<int64_t>(0, free[name] - count);
    }
  }
  return free;
}

void Put(const Counters& counters, Map<std::string, k8s::Counter>& out) {
  for (const auto& [name, count] : counters) out[name].set_value(count);
}

// A version as semver wants it: three numbers. Empty if the text has none.
std::string Version(const std::string& text) {
  std::vector<std::string> numbers(1);
  for (const char c : text) {
    if (c == '.')
      numbers.emplace_back();
    else if (c >= '0' && c <= '9')
      numbers.back().push_back(c);
    else
      return "";
  }
  numbers.resize(3, "0");
  std::string version;
  for (std::string& number : numbers) {
    while (number.size() > 1 && number[0] == '0') number.erase(0, 1);
    absl::StrAppend(&version, version.empty() ? "" : ".", number.empty() ? "0" : number);
  }
  return version;
}

void SetVersion(k8s::Device& device, const char* name, const std::string& text) {
  const std::string version = Version(text);
  if (!text.empty() && !version.empty()) (*device.mutable_attributes())[name].set_version(version);
}

// What the GPU and each of its parts have.
k8s::Device Describe(const agent::v1::Inventory& inventory, const Gpu& gpu) {
  k8s::Device device;
  SetText(device, kProductAttribute, gpu.product());
  SetText(device, kArchitectureAttribute, gpu.architecture());
  SetVersion(device, kCudaCapabilityAttribute, gpu.cuda_capability());
  SetVersion(device, kDriverVersionAttribute, inventory.gpu_driver().version());
  SetVersion(device, kCudaVersionAttribute, inventory.gpu_driver().cuda_version());
  SetText(device, kPciBusIdAttribute, gpu.pci_address());
  SetText(device, kPcieRootAttribute, gpu.pcie_root());
  SetText(device, kPcieSwitchAttribute, gpu.pcie_switch());
  if (gpu.numa_node() >= 0)
    (*device.mutable_attributes())[kNumaNodeAttribute].set_int_(gpu.numa_node());
  return device;
}

void AddHealth(const GpuDevicesFacts& facts, const Gpu& gpu, k8s::Device& device,
               absl::Time& until) {
  const v1alpha1::GpuHealth& health = gpu.health();
  if (!health.problem().empty()) AddTaint(device, kGpuLostTaint, "", "NoExecute");
  if (health.row_remap_failed()) AddTaint(device, kGpuMemoryTaint, "", "NoSchedule");
  const std::string& action = health.recovery_action();
  if (!action.empty() && action != "None")
    AddTaint(device, kGpuRecoveryTaint, action, "NoSchedule");
  const SevereXid severe = SevereXidOf(health, facts.now);
  if (severe.code == 0) return;
  until = std::min(until, severe.until);
  AddTaint(device, kGpuXidTaint, absl::StrCat(severe.code), "NoSchedule");
}

void Consume(const Gpu& gpu, Counters counters, k8s::Device& device) {
  k8s::DeviceCounterConsumption& consumed = *device.add_consumes_counters();
  consumed.set_counter_set(GpuDeviceName(gpu.uuid()));
  std::erase_if(counters, [](const auto& counter) { return counter.second == 0; });
  Put(counters, *consumed.mutable_counters());
}

k8s::Device Part(const Gpu& gpu, const MigProfile& profile, const v1alpha1::MigPlacement& place,
                 k8s::Device device) {
  device.set_name(GpuPartDeviceName(gpu.uuid(), profile.name(), place.start(), place.size()));
  SetText(device, kTypeAttribute, kGpuPartType);
  SetText(device, kParentAttribute, gpu.uuid());
  SetText(device, kProfileAttribute, profile.name());
  (*device.mutable_attributes())[kPlacementStartAttribute].set_int_(place.start());
  (*device.mutable_attributes())[kPlacementSizeAttribute].set_int_(place.size());
  if (profile.memory() > 0)
    (*device.mutable_capacity())[kMemoryCapacity].set_value(profile.memory());
  (*device.mutable_capacity())[kMultiprocessorsCapacity].set_value(profile.multiprocessors());
  Consume(gpu, CountersOf(profile, place.start(), place.size()), device);
  return device;
}

k8s::Device Whole(const Gpu& gpu, k8s::Device device) {
  device.set_name(GpuDeviceName(gpu.uuid()));
  SetText(device, kTypeAttribute, kWholeGpuType);
  SetText(device, kUuidAttribute, gpu.uuid());
  if (gpu.memory() > 0) (*device.mutable_capacity())[kMemoryCapacity].set_value(gpu.memory());
  if (CanBeDivided(gpu)) Consume(gpu, TotalOf(gpu), device);
  return device;
}

// `size` 0: the device is the whole GPU.
void AddReservation(const GpuDevicesFacts& facts, const Gpu& gpu, int start, int size,
                    k8s::Device& device) {
  for (const ReservedPlace& place : facts.reserved) {
    if (place.gpu != gpu.uuid()) continue;
    const bool apart = size > 0 && place.size > 0 &&
                       (start + size <= place.start || place.start + place.size <= start);
    if (!apart) return AddTaint(device, kReservedTaint, place.owner, "NoSchedule");
  }
}

std::vector<k8s::Device> DevicesOf(const GpuDevicesFacts& facts, const Gpu& gpu,
                                   absl::Time& until) {
  k8s::Device common = Describe(facts.inventory, gpu);
  if (facts.agent_silent) AddTaint(common, kAgentSilentTaint, "", "NoSchedule");
  AddHealth(facts, gpu, common, until);
  std::vector<k8s::Device> devices;
  if (!gpu.mig().enabled()) {
    devices.push_back(Whole(gpu, common));
    AddReservation(facts, gpu, 0, 0, devices.back());
  }
  for (const MigProfile& profile : gpu.mig().profiles())
    for (const v1alpha1::MigPlacement& place : profile.placements()) {
      devices.push_back(Part(gpu, profile, place, common));
      AddReservation(facts, gpu, place.start(), place.size(), devices.back());
    }
  return devices;
}

// All devices of a GPU come into one slice, so that what changes of one GPU is one write.
void Append(std::vector<k8s::Device> devices, std::vector<SliceContent>& slices) {
  for (SliceContent& more : InSlices(std::move(devices))) {
    if (slices.empty() ||
        slices.back().devices.size() + more.devices.size() > size_t{kMaxDevicesPerSlice}) {
      slices.push_back(std::move(more));
      continue;
    }
    for (k8s::Device& device : more.devices) slices.back().devices.push_back(std::move(device));
  }
}

}  // namespace

GpuDevices DevicesOfGpus(const GpuDevicesFacts& facts) {
  std::vector<const Gpu*> gpus;
  for (const Gpu& gpu : facts.inventory.gpus()) gpus.push_back(&gpu);
  std::sort(gpus.begin(), gpus.end(),
            [](const Gpu* a, const Gpu* b) { return a->uuid() < b->uuid(); });
  GpuDevices result;
  std::vector<SliceContent> devices;
  for (const Gpu* gpu : gpus) {
    if (CanBeDivided(*gpu)) {
      if (result.slices.empty() ||
          result.slices.back().counters.size() == size_t{kMaxCounterSetsPerSlice})
        result.slices.emplace_back();
      k8s::CounterSet& set = result.slices.back().counters.emplace_back();
      set.set_name(GpuDeviceName(gpu->uuid()));
      Put(FreeFor(facts.inventory, *gpu), *set.mutable_counters());
    }
    Append(DevicesOf(facts, *gpu, result.until), devices);
  }
  for (SliceContent& slice : devices) result.slices.push_back(std::move(slice));
  return result;
}

std::string OtherGpuOwner(const Json& node, bool has_nvidia_slices) {
  if (has_nvidia_slices) return "ResourceSlices of gpu.nvidia.com";
  const Json* resources = FindJson(node, {"status", "allocatable"});
  if (resources == nullptr || !resources->is_object()) return "";
  for (const auto& [name, amount] : resources->items()) {
    if (!absl::StartsWith(name, "nvidia.com/") || !amount.is_string()) continue;
    const absl::StatusOr<int64_t> count = api::ParseBytes(amount.get<std::string>());
    if (count.ok() && *count > 0) return absl::StrCat("a device plugin that offers ", name);
  }
  return "";
}

}  // namespace ashlar::controller
