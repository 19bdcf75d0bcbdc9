// Waiting for what happens to GPUs.
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <map>

#include "test/fake_nvml/library.h"

struct nvmlEventSet_st {
  std::map<std::string, unsigned long long> types;  // by UUID
  unsigned long long seen = 0;                      // number of the last event that was told
};

namespace fake_nvml {
namespace {

constexpr unsigned long long kSupported = nvmlEventTypeAll & ~nvmlEventTypeClock;

// NVML_SUCCESS: there was an event. NVML_ERROR_TIMEOUT: there was none yet.
nvmlReturn_t Take(Call& call, nvmlEventSet_st& set, nvmlEventData_t* data) {
  for (const auto& [uuid, types] : set.types) {
    const Json* gpu = FindGpu(call.state, uuid);
    if (gpu == nullptr || (*gpu)["lost"] == true) return NVML_ERROR_GPU_IS_LOST;
  }
  for (const Json& event : call.state["events"]) {
    if (event["number"].get<unsigned long long>() <= set.seen) continue;
    set.seen = event["number"];
    const auto registered = set.types.find(event["uuid"]);
    if (registered == set.types.end() ||
        (registered->second & event["type"].get<unsigned long long>()) == 0)
      continue;
    *data = {DeviceHandle(event["uuid"]), event["type"], event["data"], event["instance"],
             event["computeInstance"]};
    return NVML_SUCCESS;
  }
  return NVML_ERROR_TIMEOUT;
}

nvmlReturn_t Wait(const char* name, nvmlEventSet_t set, nvmlEventData_t* data,
                  unsigned timeout_ms) {
  if (set.handle == nullptr || data == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
  using Clock = std::chrono::steady_clock;
  const auto end = Clock::now() + std::chrono::milliseconds(timeout_ms);
  for (;;) {
    const nvmlReturn_t answer =
        Enter(name, [&](Call& call) { return Take(call, *set.handle, data); });
    if (answer != NVML_ERROR_TIMEOUT || Clock::now() >= end) return answer;
    usleep(5000);
  }
}

}  // namespace

extern "C" {

nvmlReturn_t nvmlEventSetCreate(nvmlEventSet_t* set) {
  return Enter(__func__, [&](Call& call) {
    if (set == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
    set->handle = new nvmlEventSet_st;
    set->handle->seen = call.state["lastEvent"];
    return NVML_SUCCESS;
  });
}

nvmlReturn_t nvmlEventSetFree(nvmlEventSet_t set) {
  delete set.handle;
  return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetSupportedEventTypes(nvmlDevice_t device, unsigned long long* types) {
  return EnterGpu(__func__, device, [&](Call&, Json&) {
    if (types == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
    *types = kSupported;
    return NVML_SUCCESS;
  });
}

nvmlReturn_t nvmlDeviceRegisterEvents(nvmlDevice_t device, unsigned long long types,
                                      nvmlEventSet_t set) {
  return EnterGpu(__func__, device, [&](Call&, Json& gpu) {
    if (set.handle == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
    if ((types & ~kSupported) != 0) return NVML_ERROR_NOT_SUPPORTED;
    set.handle->types[gpu["uuid"]] |= types;
    return NVML_SUCCESS;
  });
}

nvmlReturn_t nvmlEventSetWait_v2(nvmlEventSet_t set, nvmlEventData_t* data, unsigned int timeout) {
  return Wait(__func__, set, data, timeout);
}
nvmlReturn_t nvmlEventSetWait(nvmlEventSet_t set, nvmlEventData_t* data, unsigned int timeout) {
  return Wait(__func__, set, data, timeout);
}

}  // extern "C"
}  // namespace fake_nvml
