#include "controller/slices/drive_devices.h"

#include <algorithm>
#include <cstdlib>
#include <map>

#include "absl/strings/str_join.h"
#include "controller/dra_names/device_names.h"
#include "controller/dra_names/drive_names.h"
#include "controller/node_inventory/drive_status.h"
#include "controller/slices/slice_pool.h"

namespace ashlar::controller {
namespace {

constexpr int64_t kMi = int64_t{1} << 20;
constexpr int64_t kGi = int64_t{1} << 30;
// What a request gets that names no size.
constexpr int64_t kDefaultBytes = kGi;

int64_t WholeMi(int64_t bytes) { return bytes / kMi * kMi; }

const agent::v1::Drive* FindDrive(const agent::v1::Inventory& inventory, const std::string& id) {
  for (const agent::v1::Drive& drive : inventory.drives())
    if (drive.id() == id) return &drive;
  return nullptr;
}

// 16.0 GT/s is the fourth generation. 0: not known.
int PcieGeneration(const std::string& speed) {
  static const std::map<int, int>& generations =
      *new std::map<int, int>{{2, 1}, {5, 2}, {8, 3}, {16, 4}, {32, 5}, {64, 6}};
  const auto found = generations.find(std::atoi(speed.c_str()));
  return found == generations.end() ? 0 : found->second;
}

void SetInt(k8s::Device& device, const char* name, int64_t value) {
  (*device.mutable_attributes())[name].set_int_(value);
}

void DescribePlace(const agent::v1::Inventory& inventory, const agent::v1::Drive& drive,
                   k8s::Device& device) {
  SetText(device, kPciBusIdAttribute, drive.pci_address());
  // A drive with several paths has several roots: none of them is the one to match by.
  if (drive.paths_size() == 1) {
    const agent::v1::DrivePath& path = drive.paths(0);
    SetText(device, kPcieRootAttribute, path.pcie_root());
    SetText(device, kPcieSwitchAttribute, NearestSwitch(inventory, path.pci()));
    if (const int generation = PcieGeneration(path.link_speed()); generation > 0)
      SetInt(device, kPcieGenerationAttribute, generation);
    if (path.link_width() > 0) SetInt(device, kPcieLanesAttribute, path.link_width());
  }
  if (drive.numa_node() >= 0 && !drive.pci_address().empty())
    SetInt(device, kNumaNodeAttribute, drive.numa_node());
}

void Describe(const agent::v1::Inventory& inventory, const agent::v1::Drive& drive,
              const std::string& pool, k8s::Device& device) {
  SetText(device, kTypeAttribute, kDriveType);
  SetText(device, kPoolAttribute, pool);
  SetText(device, kDriveAttribute, drive.id());
  SetText(device, kModelAttribute, drive.model());
  SetText(device, kSerialAttribute, drive.serial());
  SetText(device, kTransportAttribute, drive.transport());
  (*device.mutable_attributes())[kRotationalAttribute].set_bool_(drive.rotational());
  DescribePlace(inventory, drive, device);
}

// Bytes of volumes of claims on each drive of the pool.
std::map<std::string, int64_t> ClaimBytes(const DriveDevicesFacts& facts, const std::string& pool) {
  std::map<std::string, int64_t> bytes;
  for (const agent::v1::VolumeState& volume : facts.inventory.volumes())
    if (volume.pool() == pool && !volume.snapshot() && !volume.inline_volume() &&
        facts.of_claim(volume.volume_id()))
      bytes[volume.drive()] += volume.size_bytes();
  return bytes;
}

void SetCapacity(const agent::v1::PoolDriveState& state, int64_t bytes, k8s::Device& device) {
  k8s::DeviceCapacity& storage = (*device.mutable_capacity())[kStorageCapacity];
  storage.set_value(bytes);
  k8s::CapacityRequestPolicy& policy = *storage.mutable_request_policy();
  int64_t most = bytes;
  // Free bytes in several pieces: no volume is larger than the largest of them.
  if (WholeMi(state.largest_volume_bytes()) < WholeMi(state.allocatable_bytes())) {
    most = std::max(WholeMi(state.largest_volume_bytes()), kMi);
    policy.mutable_valid_range()->set_max(most);
  }
  policy.set_default_(std::min(kDefaultBytes, most));
  policy.mutable_valid_range()->set_min(kMi);
  policy.mutable_valid_range()->set_step(kMi);
}

void AddHealth(const agent::v1::Drive& drive, k8s::Device& device) {
  const v1alpha1::Drive told = DriveOf(drive);
  if (told.health().warnings().empty()) return;
  AddTaint(device, kDriveFailingTaint, absl::StrJoin(told.health().warnings(), "."), "NoSchedule");
}

void AddDrivesOf(const agent::v1::PoolState& pool, const DriveDevicesFacts& facts,
                 std::map<std::string, k8s::Device>& devices) {
  std::map<std::string, int64_t> claimed = ClaimBytes(facts, pool.name());
  for (const agent::v1::PoolDriveState& state : pool.drives()) {
    const agent::v1::Drive* drive = FindDrive(facts.inventory, state.id());
    const int64_t bytes = WholeMi(state.allocatable_bytes() + claimed[state.id()]);
    // One step above the least is what the API wants of a range.
    if (drive == nullptr || !pool.ready() || bytes < 2 * kMi) continue;
    k8s::Device& device = devices[DriveDeviceName(state.id())];
    device.set_name(DriveDeviceName(state.id()));
    device.set_allow_multiple_allocations(true);
    device.set_binds_to_node(true);
    device.add_binding_conditions(kVolumeReady);
    device.add_binding_failure_conditions(kVolumeFailed);
    Describe(facts.inventory, *drive, pool.name(), device);
    SetCapacity(state, bytes, device);
    AddHealth(*drive, device);
  }
}

std::string Text(const k8s::Device& device, const char* attribute) {
  const auto found = device.attributes().find(attribute);
  return found == device.attributes().end() ? "" : found->second.string();
}

// What was published and is not there now.
void KeepMissing(const DriveDevicesFacts& facts, std::map<std::string, k8s::Device>& devices) {
  std::map<std::string, const agent::v1::PoolState*> pools;
  for (const agent::v1::PoolState& pool : facts.inventory.pools()) pools[pool.name()] = &pool;
  std::set<std::string> present;
  for (const agent::v1::Drive& drive : facts.inventory.drives())
    present.insert(DriveDeviceName(drive.id()));
  for (const k8s::Device& published : facts.published) {
    if (devices.count(published.name()) > 0) continue;
    const auto pool = pools.find(Text(published, kPoolAttribute));
    const bool missed = pool != pools.end() && !pool->second->ready();
    if (!missed && !facts.in_use(published.name())) continue;
    k8s::Device device = published;
    device.clear_taints();
    if (present.count(published.name()) == 0)
      AddTaint(device, kDriveMissingTaint, "", "NoExecute");
    else
      AddTaint(device, kPoolNotReadyTaint, missed ? pool->second->reason() : "", "NoSchedule");
    devices[device.name()] = std::move(device);
  }
}

}  // namespace

void DescribePlace(const agent::v1::Inventory& inventory, const std::string& drive,
                   k8s::Device& device) {
  if (const agent::v1::Drive* found = FindDrive(inventory, drive); found != nullptr)
    DescribePlace(inventory, *found, device);
}

void SetText(k8s::Device& device, const char* name, const std::string& text) {
  if (!text.empty() && text.size() <= kMaxAttributeText)
    (*device.mutable_attributes())[name].set_string(text);
}

void AddTaint(k8s::Device& device, const char* key, const std::string& value, const char* effect) {
  k8s::DeviceTaint& taint = *device.add_taints();
  taint.set_key(key);
  taint.set_value(value.substr(0, 63));
  taint.set_effect(effect);
}

std::string NearestSwitch(const agent::v1::Inventory& inventory,
                          const google::protobuf::RepeatedPtrField<std::string>& pci) {
  for (int i = pci.size() - 1; i >= 0; --i)
    for (const v1alpha1::Domain& domain : inventory.domains())
      if (domain.kind() == "PCIeSwitch" && domain.pci_address() == pci[i]) return pci[i];
  if (!inventory.domains().empty()) return "";
  // An agent that looks for no GPUs tells of no domains: a switch is two functions, of which the
  // upper one is its upstream port, between the root port and the drive.
  return pci.size() >= 4 ? pci[pci.size() - 3] : "";
}

std::vector<k8s::Device> DriveDevices(const DriveDevicesFacts& facts) {
  std::map<std::string, k8s::Device> devices;
  for (const agent::v1::PoolState& pool : facts.inventory.pools())
    AddDrivesOf(pool, facts, devices);
  KeepMissing(facts, devices);
  std::vector<k8s::Device> list;
  for (auto& [name, device] : devices) {
    if (facts.agent_silent) AddTaint(device, kAgentSilentTaint, "", "NoSchedule");
    list.push_back(std::move(device));
  }
  return list;
}

}  // namespace ashlar::controller
