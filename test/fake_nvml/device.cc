// Which GPUs there are, who they are and where they sit.
#include <cstdio>

#include "test/fake_nvml/library.h"

namespace fake_nvml {

namespace {

template <class Value>
nvmlReturn_t Tell(Value* out, Value value) {
  if (out == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
  *out = value;
  return NVML_SUCCESS;
}

// A figure of the GPU's model.
template <class Value, class Member>
nvmlReturn_t TellOfModel(const char* name, nvmlDevice_t device, Value* out,
                         Member GpuModel::*member) {
  return EnterGpu(name, device, [&](Call&, Json& gpu) {
    return Tell(out, static_cast<Value>(ModelOf(gpu).*member));
  });
}

constexpr unsigned long long kMiB = 1 << 20;

// The memory of the device, and how much of it is the driver's own.
struct Memory {
  unsigned long long total = 0, reserved = 0, used = 0;
};
Memory MemoryOf(nvmlDevice_t device, const Json& gpu) {
  const GpuModel& model = ModelOf(gpu);
  if (!device.handle->mig())
    return {model.memory_mib * kMiB, 600 * kMiB, gpu["memoryUsed"].get<unsigned long long>()};
  for (const Json& instance : gpu["mig"]["instances"])
    if (instance["id"] == device.handle->instance)
      return {FindProfile(model.profiles, instance["profile"])->memory_mib * kMiB, 12 * kMiB, 0};
  return {};
}

nvmlReturn_t SetAffinity(const Json& gpu, unsigned size, unsigned long* set) {
  if (set == nullptr || size == 0) return NVML_ERROR_INVALID_ARGUMENT;
  for (unsigned i = 0; i < size; ++i) set[i] = 0;
  const int node = gpu["numaNode"];
  if (node >= 0 && node < static_cast<int>(size * 64)) set[node / 64] |= 1ul << node % 64;
  return NVML_SUCCESS;
}

}  // namespace

extern "C" {

nvmlReturn_t nvmlDeviceGetCount_v2(unsigned int* count) {
  return Enter(__func__, [&](Call& call) {
    return Tell(count, static_cast<unsigned>(call.state["gpus"].size()));
  });
}

nvmlReturn_t nvmlDeviceGetHandleByIndex_v2(unsigned int index, nvmlDevice_t* device) {
  return Enter(__func__, [&](Call& call) {
    if (index >= call.state["gpus"].size()) return NVML_ERROR_INVALID_ARGUMENT;
    const Json& gpu = call.state["gpus"][index];
    if (gpu["lost"] == true) return NVML_ERROR_GPU_IS_LOST;
    return Tell(device, DeviceHandle(gpu["uuid"]));
  });
}

nvmlReturn_t nvmlDeviceGetHandleByUUID(const char* uuid, nvmlDevice_t* device) {
  return Enter(__func__, [&](Call& call) {
    if (uuid == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
    for (const Json& gpu : call.state["gpus"]) {
      if (gpu["uuid"] == uuid)
        return gpu["lost"] == true ? NVML_ERROR_GPU_IS_LOST
                                   : Tell(device, DeviceHandle(gpu["uuid"]));
      for (const Json& instance : gpu["mig"]["instances"])
        for (const Json& compute : instance["compute"])
          if (compute["uuid"] == uuid)
            return Tell(device, DeviceHandle(gpu["uuid"], instance["id"], compute["id"]));
    }
    return NVML_ERROR_NOT_FOUND;
  });
}

nvmlReturn_t nvmlDeviceGetHandleByPciBusId_v2(const char* address, nvmlDevice_t* device) {
  return Enter(__func__, [&](Call& call) {
    unsigned domain, bus, slot, function;
    if (address == nullptr || sscanf(address, "%x:%x:%x.%x", &domain, &bus, &slot, &function) != 4)
      return NVML_ERROR_INVALID_ARGUMENT;
    for (const Json& gpu : call.state["gpus"]) {
      nvmlPciInfo_t pci;
      FillPci(gpu, &pci);
      if (pci.domain == domain && pci.bus == bus && pci.device == slot)
        return gpu["lost"] == true ? NVML_ERROR_GPU_IS_LOST
                                   : Tell(device, DeviceHandle(gpu["uuid"]));
    }
    return NVML_ERROR_NOT_FOUND;
  });
}

nvmlReturn_t nvmlDeviceGetName(nvmlDevice_t device, char* name, unsigned int length) {
  return EnterDevice(__func__, device, [&](Call&, Json& gpu) {
    std::string text = ModelOf(gpu).name;
    for (const Json& instance : gpu["mig"]["instances"])
      if (instance["id"] == device.handle->instance)
        text += " MIG " + FindProfile(ModelOf(gpu).profiles, instance["profile"])->name;
    return CopyText(text, name, length);
  });
}

nvmlReturn_t nvmlDeviceGetUUID(nvmlDevice_t device, char* uuid, unsigned int length) {
  return EnterDevice(__func__, device, [&](Call&, Json& gpu) {
    if (!device.handle->mig()) return CopyText(device.handle->uuid, uuid, length);
    for (const Json& instance : gpu["mig"]["instances"])
      for (const Json& compute : instance["compute"])
        if (instance["id"] == device.handle->instance &&
            compute["id"] == device.handle->compute_instance)
          return CopyText(compute["uuid"], uuid, length);
    return NVML_ERROR_INVALID_ARGUMENT;
  });
}

nvmlReturn_t nvmlDeviceGetSerial(nvmlDevice_t device, char* serial, unsigned int length) {
  return EnterGpu(__func__, device,
                  [&](Call&, Json& gpu) { return CopyText(gpu["serial"], serial, length); });
}

nvmlReturn_t nvmlDeviceGetIndex(nvmlDevice_t device, unsigned int* index) {
  return EnterGpu(__func__, device, [&](Call& call, Json& gpu) {
    unsigned at = 0;
    while (&call.state["gpus"][at] != &gpu) ++at;
    return Tell(index, at);
  });
}

nvmlReturn_t nvmlDeviceGetMinorNumber(nvmlDevice_t device, unsigned int* minor) {
  return EnterGpu(__func__, device,
                  [&](Call&, Json& gpu) { return Tell(minor, gpu["minor"].get<unsigned>()); });
}

nvmlReturn_t nvmlDeviceGetBrand(nvmlDevice_t device, nvmlBrandType_t* brand) {
  return EnterGpu(__func__, device, [&](Call&, Json&) { return Tell(brand, NVML_BRAND_NVIDIA); });
}

nvmlReturn_t nvmlDeviceGetPciInfo_v3(nvmlDevice_t device, nvmlPciInfo_t* pci) {
  return EnterGpu(__func__, device, [&](Call&, Json& gpu) {
    if (pci == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
    FillPci(gpu, pci);
    return NVML_SUCCESS;
  });
}

nvmlReturn_t nvmlDeviceGetArchitecture(nvmlDevice_t device, nvmlDeviceArchitecture_t* out) {
  return TellOfModel(__func__, device, out, &GpuModel::architecture);
}

nvmlReturn_t nvmlDeviceGetCudaComputeCapability(nvmlDevice_t device, int* major, int* minor) {
  return EnterDevice(__func__, device, [&](Call&, Json& gpu) {
    if (minor == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
    *minor = ModelOf(gpu).cuda_minor;
    return Tell(major, ModelOf(gpu).cuda_major);
  });
}

nvmlReturn_t nvmlDeviceGetMemoryInfo_v2(nvmlDevice_t device, nvmlMemory_v2_t* memory) {
  return EnterDevice(__func__, device, [&](Call&, Json& gpu) {
    if (memory == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
    if (memory->version != nvmlMemory_v2) return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    const Memory its = MemoryOf(device, gpu);
    *memory = {nvmlMemory_v2, its.total, its.reserved, its.total - its.reserved - its.used,
               its.used};
    return NVML_SUCCESS;
  });
}

nvmlReturn_t nvmlDeviceGetMemoryInfo(nvmlDevice_t device, nvmlMemory_t* memory) {
  return EnterDevice(__func__, device, [&](Call&, Json& gpu) {
    if (memory == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
    const Memory its = MemoryOf(device, gpu);
    *memory = {its.total, its.total - its.reserved - its.used, its.reserved + its.used};
    return NVML_SUCCESS;
  });
}

nvmlReturn_t nvmlDeviceGetBAR1MemoryInfo(nvmlDevice_t device, nvmlBAR1Memory_t* memory) {
  return EnterGpu(__func__, device, [&](Call&, Json& gpu) {
    const unsigned long long total = ModelOf(gpu).bar1_mib * kMiB;
    return Tell(memory, nvmlBAR1Memory_t{total, total - kMiB, kMiB});
  });
}

// Only GPUs whose memory is a NUMA node of its own tell it.
nvmlReturn_t nvmlDeviceGetNumaNodeId(nvmlDevice_t device, unsigned int*) {
  return EnterGpu(__func__, device, [&](Call&, Json&) { return NVML_ERROR_NOT_SUPPORTED; });
}

nvmlReturn_t nvmlDeviceGetMemoryAffinity(nvmlDevice_t device, unsigned int size, unsigned long* set,
                                         nvmlAffinityScope_t) {
  return EnterGpu(__func__, device, [&](Call&, Json& gpu) { return SetAffinity(gpu, size, set); });
}

// One processor a node.
nvmlReturn_t nvmlDeviceGetCpuAffinityWithinScope(nvmlDevice_t device, unsigned int size,
                                                 unsigned long* set, nvmlAffinityScope_t) {
  return EnterGpu(__func__, device, [&](Call&, Json& gpu) { return SetAffinity(gpu, size, set); });
}

nvmlReturn_t nvmlDeviceGetCurrPcieLinkGeneration(nvmlDevice_t device, unsigned int* out) {
  return EnterGpu(__func__, device, [&](Call&, Json& gpu) {
    return Tell(out, gpu["link"]["generation"].get<unsigned>());
  });
}
nvmlReturn_t nvmlDeviceGetMaxPcieLinkGeneration(nvmlDevice_t device, unsigned int* out) {
  return TellOfModel(__func__, device, out, &GpuModel::pcie_generation);
}
nvmlReturn_t nvmlDeviceGetCurrPcieLinkWidth(nvmlDevice_t device, unsigned int* out) {
  return EnterGpu(__func__, device, [&](Call&, Json& gpu) {
    return Tell(out, gpu["link"]["width"].get<unsigned>());
  });
}
nvmlReturn_t nvmlDeviceGetMaxPcieLinkWidth(nvmlDevice_t device, unsigned int* out) {
  return EnterGpu(__func__, device, [&](Call&, Json&) { return Tell(out, 16u); });
}

nvmlReturn_t nvmlDeviceGetVbiosVersion(nvmlDevice_t device, char* version, unsigned int length) {
  return EnterGpu(__func__, device,
                  [&](Call&, Json& gpu) { return CopyText(gpu["vbios"], version, length); });
}

nvmlReturn_t nvmlDeviceGetComputeMode(nvmlDevice_t device, nvmlComputeMode_t* mode) {
  return EnterGpu(__func__, device, [&](Call&, Json& gpu) {
    return Tell(mode, static_cast<nvmlComputeMode_t>(gpu["computeMode"].get<int>()));
  });
}

nvmlReturn_t nvmlDeviceGetPersistenceMode(nvmlDevice_t device, nvmlEnableState_t* mode) {
  return EnterGpu(__func__, device, [&](Call&, Json& gpu) {
    return Tell(mode, gpu["persistence"] == true ? NVML_FEATURE_ENABLED : NVML_FEATURE_DISABLED);
  });
}

// Where GPUs of several nodes are one NVLink domain.
nvmlReturn_t nvmlDeviceGetPlatformInfo(nvmlDevice_t device, nvmlPlatformInfo_t* info) {
  return EnterGpu(__func__, device, [&](Call&, Json& gpu) {
    if (info == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
    if (info->version != nvmlPlatformInfo_v2) return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    const Json& platform = gpu["platform"];
    if (platform.is_null()) return NVML_ERROR_NOT_SUPPORTED;
    *info = {};
    info->version = nvmlPlatformInfo_v2;
    const std::string serial = platform["chassis"];
    serial.copy(reinterpret_cast<char*>(info->chassisSerialNumber),
                sizeof info->chassisSerialNumber);
    info->slotNumber = platform["slot"];
    info->trayIndex = platform["tray"];
    info->hostId = platform["host"];
    info->moduleId = platform["module"];
    return NVML_SUCCESS;
  });
}

nvmlReturn_t nvmlDeviceGetAddressingMode(nvmlDevice_t device, nvmlDeviceAddressingMode_t* mode) {
  return EnterGpu(__func__, device, [&](Call&, Json&) {
    if (mode == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
    if (mode->version != nvmlDeviceAddressingMode_v1) return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    mode->value = NVML_DEVICE_ADDRESSING_MODE_HMM;
    return NVML_SUCCESS;
  });
}

}  // extern "C"
}  // namespace fake_nvml
