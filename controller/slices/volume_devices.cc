#include "controller/slices/volume_devices.h"

#include <algorithm>
#include <map>

#include "controller/dra_names/device_names.h"
#include "controller/dra_names/drive_names.h"
#include "controller/slices/drive_devices.h"
#include "controller/volume/volume_plan.h"

namespace ashlar::controller {
namespace {

using v1alpha1::Volume;

constexpr char kNoSchedule[] = "NoSchedule";

const agent::v1::VolumeState* FindState(const agent::v1::Inventory& inventory,
                                        const std::string& volume) {
  for (const agent::v1::VolumeState& state : inventory.volumes())
    if (state.volume_id() == volume) return &state;
  return nullptr;
}

void Describe(const Volume& volume, const agent::v1::VolumeState* state, k8s::Device& device) {
  const v1alpha1::VolumeSpec& spec = volume.spec();
  SetText(device, kTypeAttribute, kVolumeType);
  SetText(device, kVolumeAttribute, volume.metadata().name());
  SetText(device, kPoolAttribute, spec.pool());
  SetText(device, kModeAttribute, spec.mode());
  SetText(device, kClaimNamespaceAttribute, spec.claim_ref().namespace_());
  SetText(device, kClaimNameAttribute, spec.claim_ref().name());
  (*device.mutable_attributes())[kReadOnlyAttribute].set_bool_(spec.offer().read_only());
  k8s::DeviceCapacity& size = (*device.mutable_capacity())[kSizeCapacity];
  size.set_value(volume.status().size());
  // Readers take nothing of it from one another.
  if (spec.offer().read_only()) size.mutable_request_policy()->set_default_(0);
  if (state == nullptr) return;
  SetText(device, kFsTypeAttribute, state->fs_type());
  SetText(device, kDriveAttribute, state->drive());
}

k8s::Device DeviceOf(const Volume& volume, const VolumeDevicesFacts& facts) {
  const agent::v1::VolumeState* state = FindState(facts.inventory, volume.metadata().name());
  k8s::Device device;
  device.set_name(VolumeDeviceName(volume.metadata().name()));
  device.set_allow_multiple_allocations(volume.spec().offer().read_only());
  device.set_binds_to_node(true);
  device.add_binding_conditions(kVolumeReady);
  device.add_binding_failure_conditions(kVolumeFailed);
  Describe(volume, state, device);
  if (state == nullptr) {
    AddTaint(device, kVolumeUnhealthyTaint, "NotReported", kNoSchedule);
    return device;
  }
  DescribePlace(facts.inventory, state->drive(), device);
  if (!state->healthy()) AddTaint(device, kVolumeUnhealthyTaint, state->reason(), kNoSchedule);
  // By pods of its PersistentVolumeClaim.
  if (state->staged() && !facts.in_use(device.name()))
    AddTaint(device, kVolumeInUseTaint, "", kNoSchedule);
  return device;
}

}  // namespace

bool IsOffered(const Volume& volume) {
  return volume.spec().offer().namespaces_size() > 0 && IsCarved(volume) &&
         !volume.spec().node_name().empty() && !volume.spec().has_pod() &&
         !volume.metadata().has_deletion_timestamp() &&
         volume.metadata().labels().count(kClaimUidLabel) == 0;
}

bool IsOfferedTo(const Volume& volume, const std::string& space) {
  const auto& namespaces = volume.spec().offer().namespaces();
  return IsOffered(volume) && std::count(namespaces.begin(), namespaces.end(), space) > 0;
}

std::vector<k8s::Device> VolumeDevices(const VolumeDevicesFacts& facts) {
  std::map<std::string, k8s::Device> devices;
  for (const Volume& volume : facts.volumes) {
    if (!IsOffered(volume)) continue;
    k8s::Device device = DeviceOf(volume, facts);
    devices[device.name()] = std::move(device);
  }
  for (const k8s::Device& published : facts.published) {
    if (devices.count(published.name()) > 0 || !facts.in_use(published.name())) continue;
    k8s::Device& device = devices[published.name()] = published;
    device.clear_taints();
    AddTaint(device, kVolumeWithdrawnTaint, "", kNoSchedule);
  }
  std::vector<k8s::Device> list;
  for (auto& [name, device] : devices) {
    if (facts.agent_silent) AddTaint(device, kAgentSilentTaint, "", kNoSchedule);
    list.push_back(std::move(device));
  }
  return list;
}

}  // namespace ashlar::controller
