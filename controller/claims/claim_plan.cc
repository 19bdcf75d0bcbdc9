#include "controller/claims/claim_plan.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "controller/claims/gpu_part_config.h"
#include "controller/claims/volume_config.h"
#include "controller/dra_names/device_names.h"
#include "controller/dra_names/drive_names.h"
#include "controller/slices/drive_devices.h"
#include "controller/slices/volume_devices.h"
#include "controller/volume/volume_plan.h"
#include "lib/api/conditions.h"
#include "lib/api/quantity.h"

namespace ashlar::controller {
namespace {

using agent::v1::Inventory;
using k8s::DeviceRequestAllocationResult;
using v1alpha1::Volume;

void SetTrouble(PlannedDevice& device, Trouble trouble, std::string reason, std::string message) {
  device.trouble = trouble;
  device.reason = std::move(reason);
  device.message = std::move(message);
}

// The pool and the drive that the device stands for; empty if the report has none of the name.
std::pair<std::string, std::string> DriveOf(const Inventory& inventory, const std::string& device) {
  for (const agent::v1::PoolState& pool : inventory.pools())
    for (const agent::v1::PoolDriveState& drive : pool.drives())
      if (DriveDeviceName(drive.id()) == device) return {pool.name(), drive.id()};
  return {};
}

absl::StatusOr<int64_t> BytesOf(const DeviceRequestAllocationResult& result) {
  for (const char* prefix : {"", "nvme.ashlar.dev/"}) {
    const auto found = result.consumed_capacity().find(absl::StrCat(prefix, kStorageCapacity));
    if (found != result.consumed_capacity().end()) return api::ParseBytes(found->second);
  }
  return absl::InvalidArgumentError(
      "the allocation does not say how many bytes: the cluster has the feature gate "
      "DRAConsumableCapacity off");
}

// Unique for each device of the claim.
std::string VolumeName(const k8s::ResourceClaim& claim, const std::string& request, int index) {
  std::string name = absl::StrCat("claim-", claim.metadata().uid(), "-",
                                  absl::StrReplaceAll(request, {{"/", "."}}));
  if (index > 0) absl::StrAppend(&name, "-", index);
  return name;
}

struct Planner {
  const k8s::ResourceClaim& claim;
  const ClaimSources& sources;
  const Inventory* inventory = nullptr;
  std::map<std::string, int> of_request = {};
  std::set<std::string> paths = {};

  void PlanDrive(const DeviceRequestAllocationResult& result, PlannedDevice& device);
  void PlanOffered(const DeviceRequestAllocationResult& result, PlannedDevice& device);
  void PlanGpu(const DeviceRequestAllocationResult& result, PlannedDevice& device);
  // `existing`: nullptr if the volume is to be carved.
  bool Configure(const DeviceRequestAllocationResult& result, const Volume* existing,
                 PlannedDevice& device);
  // Whether pods have, or may have, what the claim was given before.
  bool IsPrepared() const;
};

bool Planner::IsPrepared() const {
  if (inventory == nullptr) return false;
  for (const agent::v1::ClaimState& told : inventory->claims())
    if (told.uid() == claim.metadata().uid()) return told.prepared();
  return false;
}

bool Planner::Configure(const DeviceRequestAllocationResult& result, const Volume* existing,
                        PlannedDevice& device) {
  const std::string text =
      ParametersFor(claim.status().allocation().devices(), result.driver(), result.request());
  const auto config = existing == nullptr
                          ? ParseVolumeConfig(text, result.request())
                          : ParseExistingVolumeConfig(text, result.request(), *existing);
  if (!config.ok()) {
    SetTrouble(device, Trouble::kInvalid, "InvalidConfig", std::string(config.status().message()));
    return false;
  }
  // Several devices of one request come side by side.
  std::string path = config->path;
  if (const int index = of_request[result.request()]; index > 0) absl::StrAppend(&path, "-", index);
  if (!paths.insert(path).second) {
    SetTrouble(device, Trouble::kInvalid, "InvalidConfig",
               absl::StrCat("VolumeConfig.path: Invalid value: \"", path,
                            "\": another request of the claim has it; each needs its own"));
    return false;
  }
  device.volume.mutable_spec()->set_mode(config->mode);
  device.volume.mutable_spec()->set_fs_type(config->fs_type);
  if (config->limits) *device.volume.mutable_spec()->mutable_limits() = *config->limits;
  device.told.mutable_volume()->set_path(path);
  device.told.mutable_volume()->set_read_only(config->read_only);
  return true;
}

void Planner::PlanDrive(const DeviceRequestAllocationResult& result, PlannedDevice& device) {
  const std::string name = VolumeName(claim, result.request(), of_request[result.request()]);
  if (!Configure(result, nullptr, device)) return;
  const absl::StatusOr<int64_t> bytes = BytesOf(result);
  if (!bytes.ok() || *bytes <= 0) {
    return SetTrouble(device, Trouble::kInvalid, "InvalidSize",
                      bytes.ok() ? "0 bytes are asked for" : std::string(bytes.status().message()));
  }
  v1alpha1::VolumeSpec& spec = *device.volume.mutable_spec();
  k8s::ObjectMeta& metadata = *device.volume.mutable_metadata();
  metadata.set_name(name);
  (*metadata.mutable_labels())[kClaimUidLabel] = claim.metadata().uid();
  (*metadata.mutable_annotations())[kClaimAnnotation] =
      absl::StrCat(claim.metadata().namespace_(), "/", claim.metadata().name());
  device.told.mutable_volume()->set_volume_id(name);
  spec.set_size(*bytes);
  spec.set_node_name(result.pool());
  const Volume* exists = sources.volume(name);
  if (exists != nullptr && DriveDeviceName(exists->spec().drive()) == result.device()) {
    spec.set_pool(exists->spec().pool());
    spec.set_drive(exists->spec().drive());
  } else if (inventory == nullptr) {
    return SetTrouble(device, Trouble::kWaiting, "AgentUnavailable",
                      absl::StrCat("the agent of node ", result.pool(), " was not heard yet"));
  } else {
    const auto [pool, drive] = DriveOf(*inventory, result.device());
    if (drive.empty())
      return SetTrouble(device, Trouble::kFailed, "DriveMissing",
                        absl::StrCat("node ", result.pool(), " has no drive of that name now"));
    spec.set_pool(pool);
    spec.set_drive(drive);
  }
  device.wants_volume = true;
}

void Planner::PlanOffered(const DeviceRequestAllocationResult& result, PlannedDevice& device) {
  const Volume* volume = sources.offered(result.pool(), result.device());
  // Another volume or node may do, but for pods that have this one.
  const auto refuse = [&](std::string reason, std::string message) {
    device.withdrawn = true;
    SetTrouble(device, IsPrepared() ? Trouble::kWaiting : Trouble::kFailed, std::move(reason),
               std::move(message));
  };
  if (volume == nullptr)
    return refuse("VolumeMissing",
                  absl::StrCat("node ", result.pool(), " offers no volume of that name now"));
  const std::string& name = volume->metadata().name();
  const std::string& space = claim.metadata().namespace_();
  if (!IsOffered(*volume))
    return refuse("VolumeMissing", absl::StrCat("volume ", name, " is being deleted"));
  if (!IsOfferedTo(*volume, space))
    return refuse("NotOffered",
                  absl::StrCat("volume ", name, " is not offered to claims of namespace ", space,
                               ": its spec.offer.namespaces does not name it"));
  if (result.admin_access()) {
    device.withdrawn = true;
    return SetTrouble(device, Trouble::kInvalid, "InvalidConfig",
                      "adminAccess: Invalid value: true: it would give a volume to two claims");
  }
  agent::v1::ClaimVolume& told = *device.told.mutable_volume();
  told.set_volume_id(name);
  told.set_existing(true);
  if (!Configure(result, volume, device)) return;
  told.set_read_only(told.read_only() || volume->spec().offer().read_only());
}

void Planner::PlanGpu(const DeviceRequestAllocationResult& result, PlannedDevice& device) {
  if (inventory == nullptr)
    return SetTrouble(device, Trouble::kWaiting, "AgentUnavailable",
                      absl::StrCat("the agent of node ", result.pool(), " was not heard yet"));
  for (const v1alpha1::Gpu& gpu : inventory->gpus()) {
    if (GpuDeviceName(gpu.uuid()) == result.device())
      return device.told.mutable_gpu()->set_uuid(gpu.uuid());
    for (const v1alpha1::MigProfile& profile : gpu.mig().profiles())
      for (const v1alpha1::MigPlacement& place : profile.placements()) {
        if (GpuPartDeviceName(gpu.uuid(), profile.name(), place.start(), place.size()) !=
            result.device())
          continue;
        agent::v1::ClaimGpuPartition& part = *device.told.mutable_gpu_partition();
        part.set_gpu(gpu.uuid());
        part.set_profile(profile.name());
        part.set_start(place.start());
        part.set_size(place.size());
        const auto config = ParseGpuPartConfig(ParametersFor(claim.status().allocation().devices(),
                                                             result.driver(), result.request()));
        if (!config.ok())
          return SetTrouble(device, Trouble::kInvalid, "InvalidConfig",
                            std::string(config.status().message()));
        part.set_keep_seconds(config->keep_seconds);
        part.set_power_watts(config->power_watts);
        return;
      }
  }
  SetTrouble(device, Trouble::kFailed, "GpuMissing",
             absl::StrCat("node ", result.pool(), " has no GPU of that name now"));
}

void SetCondition(k8s::AllocatedDeviceStatus& status, absl::string_view type, bool is,
                  absl::string_view reason, absl::string_view message, absl::Time now) {
  api::SetCondition(*status.mutable_conditions(),
                    {type, is ? api::kTrue : api::kFalse, reason, message, 0}, now);
}

k8s::AllocatedDeviceStatus& StatusOf(const agent::v1::ClaimDevice& device,
                                     k8s::ResourceClaimStatus& status) {
  for (k8s::AllocatedDeviceStatus& entry : *status.mutable_devices())
    if (entry.driver() == device.driver() && entry.pool() == device.pool() &&
        entry.device() == device.device() && entry.share_id() == device.share_id())
      return entry;
  k8s::AllocatedDeviceStatus& entry = *status.add_devices();
  entry.set_driver(device.driver());
  entry.set_pool(device.pool());
  entry.set_device(device.device());
  entry.set_share_id(device.share_id());
  return entry;
}

}  // namespace

bool IsOurDriver(const std::string& driver) {
  return driver == kNvmeDriver || driver == kGpuDriver;
}

ClaimPlan PlanClaim(const k8s::ResourceClaim& claim, const ClaimSources& sources) {
  ClaimPlan plan;
  Planner planner{claim, sources};
  for (const auto& result : claim.status().allocation().devices().results()) {
    if (!IsOurDriver(result.driver())) continue;
    // All devices that one claim has of ours are of one node.
    if (plan.node.empty()) {
      plan.node = result.pool();
      planner.inventory = sources.inventory(plan.node);
    }
    PlannedDevice& device = plan.devices.emplace_back();
    device.told.set_driver(result.driver());
    device.told.set_request(result.request());
    device.told.set_pool(result.pool());
    device.told.set_device(result.device());
    device.told.set_share_id(result.share_id());
    if (result.driver() == kGpuDriver)
      planner.PlanGpu(result, device);
    else if (IsVolumeDevice(result.device()))
      planner.PlanOffered(result, device);
    else
      planner.PlanDrive(result, device);
    ++planner.of_request[result.request()];
  }
  if (planner.inventory == nullptr) return plan;
  const std::vector<std::string> gpus = GpusOf(claim, plan.node, *planner.inventory, sources.slice);
  if (gpus.empty()) return plan;
  for (PlannedDevice& device : plan.devices)
    if (device.wants_volume)
      device.volume.mutable_spec()->mutable_near()->mutable_gpus()->Assign(gpus.begin(),
                                                                           gpus.end());
  return plan;
}

bool IsTheSameVolume(const Volume& wanted, const Volume& exists) {
  const v1alpha1::VolumeSpec& a = wanted.spec();
  const v1alpha1::VolumeSpec& b = exists.spec();
  return a.pool() == b.pool() && a.drive() == b.drive() && a.node_name() == b.node_name() &&
         a.mode() == b.mode() && a.fs_type() == b.fs_type() && a.size() == b.size() &&
         !exists.metadata().has_deletion_timestamp();
}

void JudgeVolume(const Volume* exists, PlannedDevice& device) {
  if (exists == nullptr)
    return SetTrouble(device, Trouble::kWaiting, "Carving", "the volume is being made");
  if (!IsTheSameVolume(device.volume, *exists))
    return SetTrouble(device, Trouble::kWaiting, "Replacing",
                      "the volume of the claim's allocation before is being removed");
  if (IsCarved(*exists)) return;
  const k8s::Condition* carved = api::FindCondition(exists->status().conditions(), "Carved");
  if (carved == nullptr || carved->status() != api::kFalse)
    return SetTrouble(device, Trouble::kWaiting, "Carving", "the volume is being carved");
  // An agent that is silent may be back at once; everything else is better tried elsewhere.
  const Trouble trouble =
      carved->reason() == kAgentUnavailable ? Trouble::kWaiting : Trouble::kFailed;
  SetTrouble(device, trouble, carved->reason(), carved->message());
}

agent::v1::EnsureClaimRequest TellRequest(const k8s::ResourceClaim& claim, const ClaimPlan& plan) {
  agent::v1::EnsureClaimRequest request;
  request.set_uid(claim.metadata().uid());
  request.set_namespace_(claim.metadata().namespace_());
  request.set_name(claim.metadata().name());
  for (const PlannedDevice& device : plan.devices) *request.add_devices() = device.told;
  for (const k8s::ResourceClaimConsumerReference& user : claim.status().reserved_for())
    if (user.api_group().empty() && user.resource() == "pods") request.add_pod_uids(user.uid());
  std::sort(request.mutable_pod_uids()->begin(), request.mutable_pod_uids()->end());
  return request;
}

void SetDeviceStatus(const ClaimPlan& plan, k8s::ResourceClaim& claim, absl::Time now) {
  // The scheduler looks up the status of a device without its share: so what binding waits for is
  // said of the claim as a whole, at each of its devices.
  const PlannedDevice* waiting = nullptr;
  const PlannedDevice* failed = nullptr;
  for (const PlannedDevice& device : plan.devices) {
    if (device.trouble != Trouble::kNone && waiting == nullptr) waiting = &device;
    if (device.trouble == Trouble::kFailed && failed == nullptr) failed = &device;
  }
  std::map<std::string, const DeviceRequestAllocationResult*> results;
  for (const auto& result : claim.status().allocation().devices().results())
    results[absl::StrCat(result.driver(), " ", result.pool(), " ", result.device(), " ",
                         result.share_id())] = &result;
  k8s::ResourceClaimStatus& status = *claim.mutable_status();
  for (const PlannedDevice& device : plan.devices) {
    const agent::v1::ClaimDevice& told = device.told;
    k8s::AllocatedDeviceStatus& entry = StatusOf(told, status);
    const bool ready = device.trouble == Trouble::kNone;
    SetCondition(entry, "Ready", ready, ready ? "Ready" : device.reason, device.message, now);
    const auto& result = *results.at(
        absl::StrCat(told.driver(), " ", told.pool(), " ", told.device(), " ", told.share_id()));
    if (result.binding_conditions().empty()) continue;
    if (waiting == nullptr)
      SetCondition(entry, kVolumeReady, true, "Ready", "", now);
    else
      SetCondition(entry, kVolumeReady, false, waiting->reason, waiting->message, now);
    if (failed != nullptr)
      SetCondition(entry, kVolumeFailed, true, failed->reason, failed->message, now);
    else
      SetCondition(entry, kVolumeFailed, false, "NotFailed", "", now);
  }
}

}  // namespace ashlar::controller
