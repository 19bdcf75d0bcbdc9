// Dividing GPUs: the mode, GPU instances, compute instances, and the devices that they make.
#include <algorithm>
#include <cstdio>

#include "test/fake_nvml/library.h"

namespace fake_nvml {

namespace {

const MigProfile* ProfileByIndex(const GpuModel& model, unsigned index) {
  for (const MigProfile& profile : model.profiles)
    if (profile.index == index) return &profile;
  return nullptr;
}

std::vector<Occupied> OccupiedOf(const Json& gpu) {
  std::vector<Occupied> occupied;
  for (const Json& instance : gpu["mig"]["instances"])
    occupied.push_back({instance["profile"], {instance["start"], instance["size"]}});
  return occupied;
}

Json* FindById(Json& entries, int id) {
  for (Json& entry : entries)
    if (entry["id"] == id) return &entry;
  return nullptr;
}

void Remove(Json& entries, int id) {
  for (size_t i = 0; i < entries.size(); ++i)
    if (entries[i]["id"] == id) return entries.erase(i);
}

void Activate(Call& call, Json& gpu) {
  gpu["mig"]["current"] = gpu["mig"]["pending"];
  AddEvent(call.state, gpu["uuid"], nvmlEventMigConfigChange, 0);
}

// A GPU on which the mode is on, and the profile, which it must have.
nvmlReturn_t EnterProfile(
    const char* name, nvmlDevice_t device, unsigned profile_id,
    const std::function<nvmlReturn_t(Call&, Json& gpu, const MigProfile&)>& body) {
  return EnterGpu(name, device, [&](Call& call, Json& gpu) {
    if (gpu["mig"]["current"] != true) return NVML_ERROR_NOT_SUPPORTED;
    const MigProfile* profile = FindProfile(ModelOf(gpu).profiles, profile_id);
    return profile == nullptr ? NVML_ERROR_INVALID_ARGUMENT : body(call, gpu, *profile);
  });
}

nvmlReturn_t Create(const char* name, nvmlDevice_t device, unsigned profile_id,
                    const nvmlGpuInstancePlacement_t* wanted, nvmlGpuInstance_t* out) {
  return EnterProfile(name, device, profile_id, [&](Call& call, Json& gpu, const MigProfile& its) {
    if (out == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
    const std::vector<Placement> free =
        FreePlacements(ModelOf(gpu).profiles, OccupiedOf(gpu), profile_id);
    Placement placement;
    if (wanted != nullptr) {
      placement = {wanted->start, wanted->size};
      if (std::count(its.placements.begin(), its.placements.end(), placement) == 0)
        return NVML_ERROR_INVALID_ARGUMENT;
      if (std::count(free.begin(), free.end(), placement) == 0)
        return NVML_ERROR_INSUFFICIENT_RESOURCES;
    } else {
      if (free.empty()) return NVML_ERROR_INSUFFICIENT_RESOURCES;
      placement = PreferredPlacement(its, free);
    }
    const int id = static_cast<int>(InstanceId(its, placement));
    gpu["mig"]["instances"].push_back({{"id", id},
                                       {"profile", profile_id},
                                       {"start", placement.start},
                                       {"size", placement.size},
                                       {"clients", 0},
                                       {"compute", Json::array()}});
    AddEvent(call.state, gpu["uuid"], nvmlEventMigConfigChange, 0);
    call.changed = true;
    *out = InstanceHandle(gpu["uuid"], id);
    return NVML_SUCCESS;
  });
}

template <class Info>
void Fill(const MigProfile& profile, Info* info) {
  info->id = profile.id;
  info->sliceCount = profile.compute_slices;
  info->instanceCount = profile.max_instances;
  info->multiprocessorCount = profile.multiprocessors;
  info->copyEngineCount = profile.copy_engines;
  info->decoderCount = profile.decoders;
  info->encoderCount = profile.encoders;
  info->jpegCount = profile.jpegs;
  info->ofaCount = profile.ofas;
  info->memorySizeMB = profile.memory_mib;
}

// The functions of profiles may be asked whether the mode is on or off.
nvmlReturn_t EnterProfileIndex(const char* name, nvmlDevice_t device, unsigned index,
                               const std::function<nvmlReturn_t(const MigProfile&)>& body) {
  return EnterGpu(name, device, [&](Call&, Json& gpu) {
    if (index >= NVML_GPU_INSTANCE_PROFILE_COUNT) return NVML_ERROR_INVALID_ARGUMENT;
    const MigProfile* profile = ProfileByIndex(ModelOf(gpu), index);
    return profile == nullptr ? NVML_ERROR_NOT_SUPPORTED : body(*profile);
  });
}

nvmlReturn_t EnterInstance(
    const char* name, nvmlGpuInstance_t handle,
    const std::function<nvmlReturn_t(Call&, Json& gpu, Json& instance)>& body) {
  return Enter(name, [&](Call& call) {
    Json* gpu = handle.handle == nullptr ? nullptr : FindGpu(call.state, handle.handle->uuid);
    if (gpu == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
    if ((*gpu)["lost"] == true) return NVML_ERROR_GPU_IS_LOST;
    Json* instance = FindById((*gpu)["mig"]["instances"], handle.handle->instance);
    return instance == nullptr ? NVML_ERROR_INVALID_ARGUMENT : body(call, *gpu, *instance);
  });
}

nvmlReturn_t EnterCompute(
    const char* name, nvmlComputeInstance_t handle,
    const std::function<nvmlReturn_t(Call&, Json& gpu, Json& instance, Json& compute)>& body) {
  if (handle.handle == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
  const nvmlGpuInstance_t parent = InstanceHandle(handle.handle->uuid, handle.handle->instance);
  return EnterInstance(name, parent, [&](Call& call, Json& gpu, Json& instance) {
    Json* compute = FindById(instance["compute"], handle.handle->compute_instance);
    return compute == nullptr ? NVML_ERROR_INVALID_ARGUMENT : body(call, gpu, instance, *compute);
  });
}

unsigned SlicesOf(const Json& gpu, const Json& instance) {
  return FindProfile(ModelOf(gpu).profiles, instance["profile"])->compute_slices;
}

// Compute slices of the profiles of compute instances, by NVML_COMPUTE_INSTANCE_PROFILE_*.
constexpr unsigned kComputeProfile[] = {1, 2, 3, 4, 7};

// 0: an instance of so many slices has no such profile.
unsigned ComputeSlices(unsigned profile, unsigned slices) {
  if (profile >= std::size(kComputeProfile)) return 0;
  const unsigned its = kComputeProfile[profile];
  if (its > slices || (its == 3 && slices == 4) || (its == 4 && slices == 7)) return 0;
  return its;
}

// The first compute slices, as many as wanted, that nobody has; -1: there are none.
int FreeComputeSlices(const Json& instance, unsigned slices, unsigned wanted) {
  for (unsigned start = 0; start + wanted <= slices; start += wanted == 3 ? 4 : wanted) {
    const bool taken =
        std::any_of(instance["compute"].begin(), instance["compute"].end(), [&](const Json& other) {
          return start < other["start"].get<unsigned>() + other["size"].get<unsigned>() &&
                 other["start"].get<unsigned>() < start + wanted;
        });
    if (!taken) return static_cast<int>(start);
  }
  return -1;
}

void Fill(const Json& gpu, const Json& instance, nvmlGpuInstanceInfo_t* info) {
  *info = {DeviceHandle(gpu["uuid"]),
           instance["id"],
           instance["profile"],
           {instance["start"], instance["size"]}};
}

}  // namespace

extern "C" {

nvmlReturn_t nvmlDeviceGetMigMode(nvmlDevice_t device, unsigned int* current,
                                  unsigned int* pending) {
  return EnterGpu(__func__, device, [&](Call&, Json& gpu) {
    if (current == nullptr || pending == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
    if (ModelOf(gpu).profiles.empty()) return NVML_ERROR_NOT_SUPPORTED;
    *current = gpu["mig"]["current"] == true;
    *pending = gpu["mig"]["pending"] == true;
    return NVML_SUCCESS;
  });
}

nvmlReturn_t nvmlDeviceSetMigMode(nvmlDevice_t device, unsigned int mode,
                                  nvmlReturn_t* activation) {
  return EnterGpu(__func__, device, [&](Call& call, Json& gpu) {
    if (activation == nullptr || mode > NVML_DEVICE_MIG_ENABLE) return NVML_ERROR_INVALID_ARGUMENT;
    if (ModelOf(gpu).profiles.empty()) return NVML_ERROR_NOT_SUPPORTED;
    Json& mig = gpu["mig"];
    mig["pending"] = mode == NVML_DEVICE_MIG_ENABLE;
    call.changed = true;
    *activation = NVML_SUCCESS;
    if (mig["pending"] == mig["current"]) return NVML_SUCCESS;
    // A reset, or on newer GPUs the change itself, needs a GPU that nobody uses.
    if (gpu["clients"] != 0 || !mig["instances"].empty())
      *activation = NVML_ERROR_IN_USE;
    else if (ModelOf(gpu).mode_needs_reset && gpu.value("resetBlocked", false))
      *activation = NVML_ERROR_RESET_REQUIRED;
    else
      Activate(call, gpu);
    return NVML_SUCCESS;
  });
}

nvmlReturn_t nvmlDeviceGetGpuInstanceProfileInfo(nvmlDevice_t device, unsigned int profile,
                                                 nvmlGpuInstanceProfileInfo_t* info) {
  return EnterProfileIndex(__func__, device, profile, [&](const MigProfile& its) {
    if (info == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
    *info = {};
    Fill(its, info);
    return NVML_SUCCESS;
  });
}

nvmlReturn_t nvmlDeviceGetGpuInstanceProfileInfoV(nvmlDevice_t device, unsigned int profile,
                                                  nvmlGpuInstanceProfileInfo_v2_t* info) {
  return EnterProfileIndex(__func__, device, profile, [&](const MigProfile& its) {
    if (info == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
    const std::string name = "MIG " + its.name;
    if (info->version == nvmlGpuInstanceProfileInfo_v3) {
      auto* third = reinterpret_cast<nvmlGpuInstanceProfileInfo_v3_t*>(info);
      *third = {};
      third->version = nvmlGpuInstanceProfileInfo_v3;
      Fill(its, third);
      return CopyText(name, third->name, sizeof third->name);
    }
    if (info->version != nvmlGpuInstanceProfileInfo_v2) return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    *info = {};
    info->version = nvmlGpuInstanceProfileInfo_v2;
    Fill(its, info);
    return CopyText(name, info->name, sizeof info->name);
  });
}

nvmlReturn_t nvmlDeviceGetGpuInstancePossiblePlacements_v2(nvmlDevice_t device,
                                                           unsigned int profile_id,
                                                           nvmlGpuInstancePlacement_t* placements,
                                                           unsigned int* count) {
  return EnterGpu(__func__, device, [&](Call&, Json& gpu) {
    const MigProfile* profile = FindProfile(ModelOf(gpu).profiles, profile_id);
    if (profile == nullptr)
      return ModelOf(gpu).profiles.empty() ? NVML_ERROR_NOT_SUPPORTED : NVML_ERROR_INVALID_ARGUMENT;
    if (count == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
    *count = static_cast<unsigned>(profile->placements.size());
    for (size_t i = 0; placements != nullptr && i < profile->placements.size(); ++i)
      placements[i] = {profile->placements[i].start, profile->placements[i].size};
    return NVML_SUCCESS;
  });
}

nvmlReturn_t nvmlDeviceGetGpuInstanceRemainingCapacity(nvmlDevice_t device, unsigned int profile_id,
                                                       unsigned int* count) {
  return EnterProfile(__func__, device, profile_id, [&](Call&, Json& gpu, const MigProfile&) {
    if (count == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
    *count = RemainingCapacity(ModelOf(gpu).profiles, OccupiedOf(gpu), profile_id);
    return NVML_SUCCESS;
  });
}

nvmlReturn_t nvmlDeviceCreateGpuInstance(nvmlDevice_t device, unsigned int profile_id,
                                         nvmlGpuInstance_t* out) {
  return Create(__func__, device, profile_id, nullptr, out);
}

nvmlReturn_t nvmlDeviceCreateGpuInstanceWithPlacement(nvmlDevice_t device, unsigned int profile_id,
                                                      const nvmlGpuInstancePlacement_t* placement,
                                                      nvmlGpuInstance_t* out) {
  if (placement == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
  return Create(__func__, device, profile_id, placement, out);
}

nvmlReturn_t nvmlGpuInstanceDestroy(nvmlGpuInstance_t handle) {
  return EnterInstance(__func__, handle, [&](Call& call, Json& gpu, Json& instance) {
    if (!instance["compute"].empty() || instance["clients"] != 0) return NVML_ERROR_IN_USE;
    Remove(gpu["mig"]["instances"], handle.handle->instance);
    AddEvent(call.state, gpu["uuid"], nvmlEventMigConfigChange, 0);
    call.changed = true;
    return NVML_SUCCESS;
  });
}

nvmlReturn_t nvmlDeviceGetGpuInstances(nvmlDevice_t device, unsigned int profile_id,
                                       nvmlGpuInstance_t* instances, unsigned int* count) {
  return EnterProfile(__func__, device, profile_id, [&](Call&, Json& gpu, const MigProfile&) {
    if (instances == nullptr || count == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
    *count = 0;
    for (const Json& instance : gpu["mig"]["instances"])
      if (instance["profile"] == profile_id)
        instances[(*count)++] = InstanceHandle(gpu["uuid"], instance["id"]);
    return NVML_SUCCESS;
  });
}

nvmlReturn_t nvmlDeviceGetGpuInstanceById(nvmlDevice_t device, unsigned int id,
                                          nvmlGpuInstance_t* out) {
  return EnterGpu(__func__, device, [&](Call&, Json& gpu) {
    if (out == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
    if (gpu["mig"]["current"] != true) return NVML_ERROR_NOT_SUPPORTED;
    if (FindById(gpu["mig"]["instances"], static_cast<int>(id)) == nullptr)
      return NVML_ERROR_NOT_FOUND;
    *out = InstanceHandle(gpu["uuid"], static_cast<int>(id));
    return NVML_SUCCESS;
  });
}

nvmlReturn_t nvmlGpuInstanceGetInfo(nvmlGpuInstance_t handle, nvmlGpuInstanceInfo_t* info) {
  return EnterInstance(__func__, handle, [&](Call&, Json& gpu, Json& instance) {
    if (info == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
    Fill(gpu, instance, info);
    return NVML_SUCCESS;
  });
}

nvmlReturn_t nvmlGpuInstanceGetComputeInstanceProfileInfo(nvmlGpuInstance_t handle,
                                                          unsigned int profile, unsigned int engine,
                                                          nvmlComputeInstanceProfileInfo_t* info) {
  return EnterInstance(__func__, handle, [&](Call&, Json& gpu, Json& instance) {
    if (info == nullptr || profile >= NVML_COMPUTE_INSTANCE_PROFILE_COUNT || engine != 0)
      return NVML_ERROR_INVALID_ARGUMENT;
    const unsigned all = SlicesOf(gpu, instance), slices = ComputeSlices(profile, all);
    if (slices == 0) return NVML_ERROR_NOT_SUPPORTED;
    const MigProfile& its = *FindProfile(ModelOf(gpu).profiles, instance["profile"]);
    *info = {profile,
             slices,
             slices == 3 && all == 7 ? 2 : all / slices,
             its.multiprocessors / all * slices,
             its.copy_engines,
             its.decoders,
             its.encoders,
             its.jpegs,
             its.ofas};
    return NVML_SUCCESS;
  });
}

nvmlReturn_t nvmlGpuInstanceCreateComputeInstance(nvmlGpuInstance_t handle, unsigned int profile,
                                                  nvmlComputeInstance_t* out) {
  return EnterInstance(__func__, handle, [&](Call& call, Json& gpu, Json& instance) {
    const unsigned all = SlicesOf(gpu, instance), slices = ComputeSlices(profile, all);
    if (out == nullptr || slices == 0) return NVML_ERROR_INVALID_ARGUMENT;
    const int start = FreeComputeSlices(instance, all, slices);
    if (start < 0) return NVML_ERROR_INSUFFICIENT_RESOURCES;
    int id = 0;
    while (FindById(instance["compute"], id) != nullptr) ++id;
    const int instance_id = instance["id"];
    char name[128];
    snprintf(name, sizeof name, "%s %d %d", gpu["uuid"].get<std::string>().c_str(), instance_id,
             id);
    instance["compute"].push_back({{"id", id},
                                   {"profile", profile},
                                   {"start", start},
                                   {"size", slices},
                                   {"uuid", "MIG-" + UuidOf(name)}});
    AddEvent(call.state, gpu["uuid"], nvmlEventMigConfigChange, 0);
    call.changed = true;
    *out = ComputeInstanceHandle(gpu["uuid"], instance_id, id);
    return NVML_SUCCESS;
  });
}

nvmlReturn_t nvmlComputeInstanceDestroy(nvmlComputeInstance_t handle) {
  return EnterCompute(__func__, handle, [&](Call& call, Json& gpu, Json& instance, Json&) {
    if (instance["clients"] != 0) return NVML_ERROR_IN_USE;
    Remove(instance["compute"], handle.handle->compute_instance);
    AddEvent(call.state, gpu["uuid"], nvmlEventMigConfigChange, 0);
    call.changed = true;
    return NVML_SUCCESS;
  });
}

nvmlReturn_t nvmlGpuInstanceGetComputeInstances(nvmlGpuInstance_t handle, unsigned int profile,
                                                nvmlComputeInstance_t* out, unsigned int* count) {
  return EnterInstance(__func__, handle, [&](Call&, Json& gpu, Json& instance) {
    if (out == nullptr || count == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
    *count = 0;
    for (const Json& compute : instance["compute"])
      if (compute["profile"] == profile)
        out[(*count)++] = ComputeInstanceHandle(gpu["uuid"], instance["id"], compute["id"]);
    return NVML_SUCCESS;
  });
}

nvmlReturn_t nvmlGpuInstanceGetComputeInstanceById(nvmlGpuInstance_t handle, unsigned int id,
                                                   nvmlComputeInstance_t* out) {
  return EnterInstance(__func__, handle, [&](Call&, Json& gpu, Json& instance) {
    if (out == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
    if (FindById(instance["compute"], static_cast<int>(id)) == nullptr) return NVML_ERROR_NOT_FOUND;
    *out = ComputeInstanceHandle(gpu["uuid"], instance["id"], static_cast<int>(id));
    return NVML_SUCCESS;
  });
}

nvmlReturn_t nvmlComputeInstanceGetInfo_v2(nvmlComputeInstance_t handle,
                                           nvmlComputeInstanceInfo_t* info) {
  return EnterCompute(__func__, handle, [&](Call&, Json& gpu, Json& instance, Json& compute) {
    if (info == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
    *info = {DeviceHandle(gpu["uuid"]),
             InstanceHandle(gpu["uuid"], instance["id"]),
             compute["id"],
             compute["profile"],
             {compute["start"], compute["size"]}};
    return NVML_SUCCESS;
  });
}

nvmlReturn_t nvmlDeviceIsMigDeviceHandle(nvmlDevice_t device, unsigned int* is) {
  return EnterDevice(__func__, device, [&](Call&, Json&) {
    if (is == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
    *is = device.handle->mig();
    return NVML_SUCCESS;
  });
}

nvmlReturn_t nvmlDeviceGetGpuInstanceId(nvmlDevice_t device, unsigned int* id) {
  return EnterDevice(__func__, device, [&](Call&, Json&) {
    if (id == nullptr || !device.handle->mig()) return NVML_ERROR_INVALID_ARGUMENT;
    *id = static_cast<unsigned>(device.handle->instance);
    return NVML_SUCCESS;
  });
}

nvmlReturn_t nvmlDeviceGetComputeInstanceId(nvmlDevice_t device, unsigned int* id) {
  return EnterDevice(__func__, device, [&](Call&, Json&) {
    if (id == nullptr || !device.handle->mig()) return NVML_ERROR_INVALID_ARGUMENT;
    *id = static_cast<unsigned>(device.handle->compute_instance);
    return NVML_SUCCESS;
  });
}

nvmlReturn_t nvmlDeviceGetMaxMigDeviceCount(nvmlDevice_t device, unsigned int* count) {
  return EnterGpu(__func__, device, [&](Call&, Json& gpu) {
    if (count == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
    *count = gpu["mig"]["current"] == true ? kComputeSlices : 0;
    return NVML_SUCCESS;
  });
}

nvmlReturn_t nvmlDeviceGetMigDeviceHandleByIndex(nvmlDevice_t device, unsigned int index,
                                                 nvmlDevice_t* out) {
  return EnterGpu(__func__, device, [&](Call&, Json& gpu) {
    if (out == nullptr || index >= kComputeSlices) return NVML_ERROR_INVALID_ARGUMENT;
    for (const Json& instance : gpu["mig"]["instances"])
      for (const Json& compute : instance["compute"])
        if (index-- == 0) {
          *out = DeviceHandle(gpu["uuid"], instance["id"], compute["id"]);
          return NVML_SUCCESS;
        }
    return NVML_ERROR_NOT_FOUND;
  });
}

nvmlReturn_t nvmlDeviceGetDeviceHandleFromMigDeviceHandle(nvmlDevice_t device, nvmlDevice_t* out) {
  return EnterDevice(__func__, device, [&](Call&, Json& gpu) {
    if (out == nullptr || !device.handle->mig()) return NVML_ERROR_INVALID_ARGUMENT;
    *out = DeviceHandle(gpu["uuid"]);
    return NVML_SUCCESS;
  });
}

}  // extern "C"
}  // namespace fake_nvml
