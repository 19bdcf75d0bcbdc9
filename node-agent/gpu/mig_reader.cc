#include "node-agent/gpu/mig_reader.h"

#include <algorithm>
#include <map>
#include <vector>

#include "absl/strings/strip.h"

namespace ashlar::node_agent {
namespace {

constexpr int64_t kMiB = 1 << 20;

bool Overlap(const v1alpha1::MigPlacement& place, const v1alpha1::MigInstance& instance) {
  return place.start() < instance.start() + instance.size() &&
         instance.start() < place.start() + place.size();
}

// Nothing: the GPU has no such profile.
std::optional<v1alpha1::MigProfile> ReadProfile(const Nvml& nvml, nvmlDevice_t device,
                                                unsigned index) {
  nvmlGpuInstanceProfileInfo_v2_t info{};
  info.version = nvmlGpuInstanceProfileInfo_v2;
  if (ASHLAR_NVML(nvml, nvmlDeviceGetGpuInstanceProfileInfoV, device, index, &info) != NVML_SUCCESS)
    return std::nullopt;
  v1alpha1::MigProfile profile;
  profile.set_id(static_cast<int32_t>(info.id));
  profile.set_name(std::string(absl::StripPrefix(info.name, "MIG ")));
  profile.set_compute_slices(static_cast<int32_t>(info.sliceCount));
  profile.set_memory(static_cast<int64_t>(info.memorySizeMB) * kMiB);
  profile.set_multiprocessors(static_cast<int32_t>(info.multiprocessorCount));
  profile.set_max_instances(static_cast<int32_t>(info.instanceCount));
  profile.set_copy_engines(static_cast<int32_t>(info.copyEngineCount));
  profile.set_decoders(static_cast<int32_t>(info.decoderCount));
  profile.set_encoders(static_cast<int32_t>(info.encoderCount));
  profile.set_jpegs(static_cast<int32_t>(info.jpegCount));
  profile.set_ofas(static_cast<int32_t>(info.ofaCount));
  unsigned count = 0;
  nvmlGpuInstancePlacement_t* const none = nullptr;
  if (ASHLAR_NVML(nvml, nvmlDeviceGetGpuInstancePossiblePlacements_v2, device, info.id, none,
                  &count) != NVML_SUCCESS)
    return profile;
  std::vector<nvmlGpuInstancePlacement_t> places(count);
  if (ASHLAR_NVML(nvml, nvmlDeviceGetGpuInstancePossiblePlacements_v2, device, info.id,
                  places.data(), &count) != NVML_SUCCESS)
    return profile;
  for (size_t i = 0; i < std::min<size_t>(count, places.size()); ++i) {
    v1alpha1::MigPlacement& place = *profile.add_placements();
    place.set_start(static_cast<int32_t>(places[i].start));
    place.set_size(static_cast<int32_t>(places[i].size));
  }
  return profile;
}

void ReadInstances(const Nvml& nvml, nvmlDevice_t device, const v1alpha1::MigProfile& profile,
                   v1alpha1::Mig& mig) {
  std::vector<nvmlGpuInstance_t> handles(static_cast<size_t>(std::max(profile.max_instances(), 1)));
  unsigned count = 0;
  if (ASHLAR_NVML(nvml, nvmlDeviceGetGpuInstances, device, static_cast<unsigned>(profile.id()),
                  handles.data(), &count) != NVML_SUCCESS)
    return;
  for (size_t i = 0; i < std::min<size_t>(count, handles.size()); ++i) {
    nvmlGpuInstanceInfo_t info;
    if (ASHLAR_NVML(nvml, nvmlGpuInstanceGetInfo, handles[i], &info) != NVML_SUCCESS) continue;
    v1alpha1::MigInstance& instance = *mig.add_instances();
    instance.set_id(static_cast<int32_t>(info.id));
    instance.set_profile_id(static_cast<int32_t>(info.profileId));
    instance.set_profile(profile.name());
    instance.set_start(static_cast<int32_t>(info.placement.start));
    instance.set_size(static_cast<int32_t>(info.placement.size));
  }
}

void ReadDevices(const Nvml& nvml, nvmlDevice_t device, v1alpha1::Mig& mig) {
  unsigned most = 0;
  if (ASHLAR_NVML(nvml, nvmlDeviceGetMaxMigDeviceCount, device, &most) != NVML_SUCCESS) return;
  for (unsigned index = 0; index < most; ++index) {
    nvmlDevice_t part{};
    unsigned instance_id = 0, compute_id = 0;
    char uuid[NVML_DEVICE_UUID_V2_BUFFER_SIZE] = "";
    // Indexes may have holes.
    if (ASHLAR_NVML(nvml, nvmlDeviceGetMigDeviceHandleByIndex, device, index, &part) !=
            NVML_SUCCESS ||
        ASHLAR_NVML(nvml, nvmlDeviceGetGpuInstanceId, part, &instance_id) != NVML_SUCCESS ||
        ASHLAR_NVML(nvml, nvmlDeviceGetComputeInstanceId, part, &compute_id) != NVML_SUCCESS ||
        ASHLAR_NVML(nvml, nvmlDeviceGetUUID, part, uuid, sizeof uuid) != NVML_SUCCESS)
      continue;
    for (v1alpha1::MigInstance& instance : *mig.mutable_instances()) {
      if (instance.id() != static_cast<int32_t>(instance_id)) continue;
      v1alpha1::MigDevice& out = *instance.add_devices();
      out.set_id(static_cast<int32_t>(compute_id));
      out.set_uuid(uuid);
    }
  }
}

void MarkFree(const Nvml& nvml, nvmlDevice_t device, v1alpha1::Mig& mig) {
  for (v1alpha1::MigProfile& profile : *mig.mutable_profiles()) {
    unsigned remaining = 0;
    if (ASHLAR_NVML(nvml, nvmlDeviceGetGpuInstanceRemainingCapacity, device,
                    static_cast<unsigned>(profile.id()), &remaining) != NVML_SUCCESS)
      continue;
    profile.set_remaining(static_cast<int32_t>(remaining));
    for (v1alpha1::MigPlacement& place : *profile.mutable_placements())
      place.set_free(remaining > 0 && std::none_of(mig.instances().begin(), mig.instances().end(),
                                                   [&](const v1alpha1::MigInstance& instance) {
                                                     return Overlap(place, instance);
                                                   }));
  }
}

}  // namespace

std::optional<v1alpha1::Mig> ReadMig(const Nvml& nvml, nvmlDevice_t device) {
  unsigned current = 0, pending = 0;
  if (ASHLAR_NVML(nvml, nvmlDeviceGetMigMode, device, &current, &pending) != NVML_SUCCESS)
    return std::nullopt;
  v1alpha1::Mig mig;
  mig.set_enabled(current == NVML_DEVICE_MIG_ENABLE);
  mig.set_pending(pending == NVML_DEVICE_MIG_ENABLE);
  std::map<int32_t, v1alpha1::MigProfile> profiles;  // newer libraries know more than the header
  for (unsigned index = 0; index < 2 * NVML_GPU_INSTANCE_PROFILE_COUNT; ++index)
    if (auto profile = ReadProfile(nvml, device, index)) profiles[profile->id()] = *profile;
  for (auto& [id, profile] : profiles) *mig.add_profiles() = std::move(profile);
  if (!mig.enabled()) return mig;
  for (const v1alpha1::MigProfile& profile : mig.profiles())
    ReadInstances(nvml, device, profile, mig);
  std::sort(mig.mutable_instances()->begin(), mig.mutable_instances()->end(),
            [](const auto& a, const auto& b) { return a.id() < b.id(); });
  ReadDevices(nvml, device, mig);
  MarkFree(nvml, device, mig);
  return mig;
}

}  // namespace ashlar::node_agent
