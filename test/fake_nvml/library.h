// What the exported functions share: handles, and the way into the scene that each call takes.
#pragma once

#define NVML_NO_UNVERSIONED_FUNC_DEFS
#include <functional>
#include <string>

#include "nvml.h"
#include "test/fake_nvml/scene.h"

// A handle names a thing; what it is like stands in the scene. Handles live as long as the process.
struct nvmlDevice_st {
  std::string uuid;
  int instance = -1;  // of a MIG device: its GPU instance and compute instance
  int compute_instance = -1;
  bool mig() const { return instance >= 0; }
};
struct nvmlGpuInstance_st {
  std::string uuid;  // of the GPU
  int instance = -1;
};
struct nvmlComputeInstance_st {
  std::string uuid;
  int instance = -1;
  int compute_instance = -1;
};

namespace fake_nvml {

nvmlDevice_t DeviceHandle(const std::string& uuid, int instance = -1, int compute_instance = -1);
nvmlGpuInstance_t InstanceHandle(const std::string& uuid, int instance);
nvmlComputeInstance_t ComputeInstanceHandle(const std::string& uuid, int instance,
                                            int compute_instance);

// The state of the scene during one call.
struct Call {
  Json& state;
  bool changed = false;  // what the call made of the state is to be kept
};

// Does what every function does first: hangs or fails if the scene says so, and answers as NVML
// does if it was not initialized or the driver is gone. No exception leaves it.
nvmlReturn_t Enter(const char* name, const std::function<nvmlReturn_t(Call&)>& body);
// The same for a function of a GPU: `body` gets its entry. A MIG device is an invalid argument.
nvmlReturn_t EnterGpu(const char* name, nvmlDevice_t device,
                      const std::function<nvmlReturn_t(Call&, Json& gpu)>& body);
// The same; of a MIG device `body` gets the GPU that it is a part of.
nvmlReturn_t EnterDevice(const char* name, nvmlDevice_t device,
                         const std::function<nvmlReturn_t(Call&, Json& gpu)>& body);

// That the environment names now. Its lock is never held by a call that hangs.
Scene TheScene();

nvmlReturn_t CopyText(const std::string& text, char* out, unsigned length);
// Of a UUID of a GPU; nullptr if there is none.
Json* FindGpu(Json& state, const std::string& uuid);
void FillPci(const Json& gpu, nvmlPciInfo_t* pci);

}  // namespace fake_nvml
