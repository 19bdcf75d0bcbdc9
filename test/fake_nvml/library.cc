#include "test/fake_nvml/library.h"

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <tuple>

#include "lib/base/mutex.h"

namespace fake_nvml {
namespace {

// Of this process.
struct Process {
  ashlar::Mutex mu;
  int initialized ABSL_GUARDED_BY(mu) = 0;
  std::map<std::tuple<std::string, int, int>, nvmlDevice_st> devices ABSL_GUARDED_BY(mu);
  std::map<std::tuple<std::string, int>, nvmlGpuInstance_st> instances ABSL_GUARDED_BY(mu);
  std::map<std::tuple<std::string, int, int>, nvmlComputeInstance_st> compute_instances
      ABSL_GUARDED_BY(mu);
};
Process& TheProcess() {
  static Process& process = *new Process;
  return process;
}

bool Named(const Json& names, const char* name) {
  for (const Json& entry : names)
    if (entry == "*" || entry == name) return true;
  return false;
}

nvmlReturn_t Guarded(const char* name, bool needs_init,
                     const std::function<nvmlReturn_t(Call&)>& body) try {
  bool hang = false;
  nvmlReturn_t answer = NVML_ERROR_UNKNOWN;
  TheScene().With([&](Json& state) {
    hang = Named(state["hang"], name);
    if (hang) return false;
    if (needs_init) {
      ashlar::MutexLock lock(TheProcess().mu);
      if (TheProcess().initialized == 0) {
        answer = NVML_ERROR_UNINITIALIZED;
        return false;
      }
    }
    if (state["driver"]["gone"] == true) {
      answer = needs_init ? NVML_ERROR_UNKNOWN : NVML_ERROR_DRIVER_NOT_LOADED;
      return false;
    }
    if (state["fail"].contains(name)) {
      answer = static_cast<nvmlReturn_t>(state["fail"][name].get<int>());
      return false;
    }
    Call call{state};
    answer = body(call);
    return call.changed;
  });
  while (hang) pause();
  return answer;
} catch (const std::exception& problem) {
  fprintf(stderr, "fake NVML: %s: %s\n", name, problem.what());
  return NVML_ERROR_UNKNOWN;
}

nvmlReturn_t Initialize(const char* name) {
  return Guarded(name, false, [](Call&) {
    ashlar::MutexLock lock(TheProcess().mu);
    ++TheProcess().initialized;
    return NVML_SUCCESS;
  });
}

}  // namespace

Scene TheScene() {
  const char* path = getenv("ASHLAR_FAKE_NVML_SCENE");
  if (path == nullptr) throw BadScene("ASHLAR_FAKE_NVML_SCENE names no scene");
  return Scene(path);
}

nvmlDevice_t DeviceHandle(const std::string& uuid, int instance, int compute_instance) {
  ashlar::MutexLock lock(TheProcess().mu);
  return {&TheProcess()
               .devices
               .try_emplace({uuid, instance, compute_instance},
                            nvmlDevice_st{uuid, instance, compute_instance})
               .first->second};
}

nvmlGpuInstance_t InstanceHandle(const std::string& uuid, int instance) {
  ashlar::MutexLock lock(TheProcess().mu);
  return {&TheProcess()
               .instances.try_emplace({uuid, instance}, nvmlGpuInstance_st{uuid, instance})
               .first->second};
}

nvmlComputeInstance_t ComputeInstanceHandle(const std::string& uuid, int instance,
                                            int compute_instance) {
  ashlar::MutexLock lock(TheProcess().mu);
  return {&TheProcess()
               .compute_instances
               .try_emplace({uuid, instance, compute_instance},
                            nvmlComputeInstance_st{uuid, instance, compute_instance})
               .first->second};
}

nvmlReturn_t Enter(const char* name, const std::function<nvmlReturn_t(Call&)>& body) {
  return Guarded(name, true, body);
}

nvmlReturn_t EnterDevice(const char* name, nvmlDevice_t device,
                         const std::function<nvmlReturn_t(Call&, Json&)>& body) {
  return Enter(name, [&](Call& call) {
    if (device.handle == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
    Json* gpu = FindGpu(call.state, device.handle->uuid);
    if (gpu == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
    if ((*gpu)["lost"] == true) return NVML_ERROR_GPU_IS_LOST;
    return body(call, *gpu);
  });
}

nvmlReturn_t EnterGpu(const char* name, nvmlDevice_t device,
                      const std::function<nvmlReturn_t(Call&, Json&)>& body) {
  return EnterDevice(name, device, [&](Call& call, Json& gpu) {
    return device.handle->mig() ? NVML_ERROR_INVALID_ARGUMENT : body(call, gpu);
  });
}

nvmlReturn_t CopyText(const std::string& text, char* out, unsigned length) {
  if (out == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
  if (length <= text.size()) return NVML_ERROR_INSUFFICIENT_SIZE;
  memcpy(out, text.c_str(), text.size() + 1);
  return NVML_SUCCESS;
}

Json* FindGpu(Json& state, const std::string& uuid) {
  for (Json& gpu : state["gpus"])
    if (gpu["uuid"] == uuid) return &gpu;
  return nullptr;
}

void FillPci(const Json& gpu, nvmlPciInfo_t* pci) {
  unsigned function = 0;
  *pci = {};
  sscanf(gpu["pci"].get<std::string>().c_str(), "%x:%x:%x.%x", &pci->domain, &pci->bus,
         &pci->device, &function);
  pci->pciDeviceId = ModelOf(gpu).pci_device_id;
  snprintf(pci->busId, sizeof pci->busId, NVML_DEVICE_PCI_BUS_ID_FMT,
           NVML_DEVICE_PCI_BUS_ID_FMT_ARGS(pci));
  snprintf(pci->busIdLegacy, sizeof pci->busIdLegacy, NVML_DEVICE_PCI_BUS_ID_LEGACY_FMT,
           pci->domain & 0xffff, pci->bus & 0xff, pci->device & 0xff);
}

extern "C" {

nvmlReturn_t nvmlInit_v2() { return Initialize(__func__); }
nvmlReturn_t nvmlInitWithFlags(unsigned int) { return Initialize(__func__); }

nvmlReturn_t nvmlShutdown() {
  ashlar::MutexLock lock(TheProcess().mu);
  if (TheProcess().initialized == 0) return NVML_ERROR_UNINITIALIZED;
  --TheProcess().initialized;
  return NVML_SUCCESS;
}

const char* nvmlErrorString(nvmlReturn_t result) {
  switch (result) {
    case NVML_SUCCESS:
      return "Success";
    case NVML_ERROR_UNINITIALIZED:
      return "Uninitialized";
    case NVML_ERROR_INVALID_ARGUMENT:
      return "Invalid Argument";
    case NVML_ERROR_NOT_SUPPORTED:
      return "Not Supported";
    case NVML_ERROR_NO_PERMISSION:
      return "Insufficient Permissions";
    case NVML_ERROR_NOT_FOUND:
      return "Not Found";
    case NVML_ERROR_INSUFFICIENT_SIZE:
      return "Insufficient Size";
    case NVML_ERROR_DRIVER_NOT_LOADED:
      return "Driver Not Loaded";
    case NVML_ERROR_TIMEOUT:
      return "Timeout";
    case NVML_ERROR_GPU_IS_LOST:
      return "GPU is lost";
    case NVML_ERROR_RESET_REQUIRED:
      return "GPU requires reset";
    case NVML_ERROR_IN_USE:
      return "In use by another client";
    case NVML_ERROR_INSUFFICIENT_RESOURCES:
      return "Insufficient Resources";
    case NVML_ERROR_ARGUMENT_VERSION_MISMATCH:
      return "Argument version mismatch";
    default:
      return "Unknown Error";
  }
}

nvmlReturn_t nvmlSystemGetDriverVersion(char* version, unsigned int length) {
  return Enter(__func__, [&](Call& call) {
    return CopyText(call.state["driver"]["version"], version, length);
  });
}

nvmlReturn_t nvmlSystemGetNVMLVersion(char* version, unsigned int length) {
  return Enter(__func__, [&](Call& call) {
    return CopyText("13." + call.state["driver"]["version"].get<std::string>(), version, length);
  });
}

nvmlReturn_t nvmlSystemGetCudaDriverVersion_v2(int* version) {
  return Enter(__func__, [&](Call& call) {
    if (version == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
    *version = call.state["driver"]["cuda"];
    return NVML_SUCCESS;
  });
}

}  // extern "C"
}  // namespace fake_nvml
