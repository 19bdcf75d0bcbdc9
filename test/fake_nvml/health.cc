// Temperature, power, clocks, and what has gone wrong in a GPU's memory.
#include "test/fake_nvml/library.h"

namespace fake_nvml {

namespace {

nvmlReturn_t Tell(const char* name, nvmlDevice_t device, unsigned* out,
                  const std::function<unsigned(const Json& gpu)>& value) {
  return EnterGpu(name, device, [&](Call&, Json& gpu) {
    if (out == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
    *out = value(gpu);
    return NVML_SUCCESS;
  });
}

nvmlReturn_t SetLimit(const char* name, nvmlDevice_t device, unsigned limit_mw) {
  return EnterGpu(name, device, [&](Call& call, Json& gpu) {
    if (limit_mw < ModelOf(gpu).power_min_mw || limit_mw > ModelOf(gpu).power_max_mw)
      return NVML_ERROR_INVALID_ARGUMENT;
    gpu["powerLimit"] = limit_mw;
    call.changed = true;
    return NVML_SUCCESS;
  });
}

unsigned long long EccErrors(const Json& gpu, nvmlMemoryErrorType_t type) {
  return gpu["ecc"][type == NVML_MEMORY_ERROR_TYPE_CORRECTED ? "corrected" : "uncorrected"];
}

unsigned Clock(const GpuModel& model, nvmlClockType_t type) {
  return type == NVML_CLOCK_MEM ? model.memory_clock_mhz : model.sm_clock_mhz;
}

}  // namespace

extern "C" {

nvmlReturn_t nvmlDeviceGetTemperature(nvmlDevice_t device, nvmlTemperatureSensors_t sensor,
                                      unsigned int* out) {
  if (sensor != NVML_TEMPERATURE_GPU) return NVML_ERROR_INVALID_ARGUMENT;
  return Tell(__func__, device, out, [](const Json& gpu) { return gpu["temperature"]; });
}

nvmlReturn_t nvmlDeviceGetTemperatureV(nvmlDevice_t device, nvmlTemperature_t* out) {
  if (out == nullptr || out->sensorType != NVML_TEMPERATURE_GPU) return NVML_ERROR_INVALID_ARGUMENT;
  if (out->version != nvmlTemperature_v1) return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
  return EnterGpu(__func__, device, [&](Call&, Json& gpu) {
    out->temperature = gpu["temperature"];
    return NVML_SUCCESS;
  });
}

nvmlReturn_t nvmlDeviceGetTemperatureThreshold(nvmlDevice_t device,
                                               nvmlTemperatureThresholds_t type,
                                               unsigned int* out) {
  return Tell(__func__, device, out, [&](const Json& gpu) {
    const GpuModel& model = ModelOf(gpu);
    return type == NVML_TEMPERATURE_THRESHOLD_SHUTDOWN ? model.shutdown_celsius
                                                       : model.slowdown_celsius;
  });
}

nvmlReturn_t nvmlDeviceGetPowerUsage(nvmlDevice_t device, unsigned int* out) {
  return Tell(__func__, device, out, [](const Json& gpu) { return gpu["power"]; });
}
nvmlReturn_t nvmlDeviceGetPowerManagementLimit(nvmlDevice_t device, unsigned int* out) {
  return Tell(__func__, device, out, [](const Json& gpu) { return gpu["powerLimit"]; });
}
nvmlReturn_t nvmlDeviceGetEnforcedPowerLimit(nvmlDevice_t device, unsigned int* out) {
  return Tell(__func__, device, out, [](const Json& gpu) { return gpu["powerLimit"]; });
}
nvmlReturn_t nvmlDeviceGetPowerManagementDefaultLimit(nvmlDevice_t device, unsigned int* out) {
  return Tell(__func__, device, out, [](const Json& gpu) { return ModelOf(gpu).power_max_mw; });
}
nvmlReturn_t nvmlDeviceGetPowerManagementLimitConstraints(nvmlDevice_t device, unsigned int* least,
                                                          unsigned int* most) {
  if (least == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
  return Tell(__func__, device, most, [&](const Json& gpu) {
    *least = ModelOf(gpu).power_min_mw;
    return ModelOf(gpu).power_max_mw;
  });
}
nvmlReturn_t nvmlDeviceSetPowerManagementLimit(nvmlDevice_t device, unsigned int limit) {
  return SetLimit(__func__, device, limit);
}
nvmlReturn_t nvmlDeviceSetPowerManagementLimit_v2(nvmlDevice_t device, nvmlPowerValue_v2_t* value) {
  if (value == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
  if (value->version != nvmlPowerValue_v2) return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
  return SetLimit(__func__, device, value->powerValueMw);
}

nvmlReturn_t nvmlDeviceGetPerformanceState(nvmlDevice_t device, nvmlPstates_t* out) {
  return EnterGpu(__func__, device, [&](Call&, Json& gpu) {
    if (out == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
    *out = static_cast<nvmlPstates_t>(gpu["performanceState"].get<int>());
    return NVML_SUCCESS;
  });
}
nvmlReturn_t nvmlDeviceGetCurrentClocksEventReasons(nvmlDevice_t device, unsigned long long* out) {
  return EnterGpu(__func__, device, [&](Call&, Json& gpu) {
    if (out == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
    *out = gpu["clocksEventReasons"];
    return NVML_SUCCESS;
  });
}

nvmlReturn_t nvmlDeviceGetClockInfo(nvmlDevice_t device, nvmlClockType_t type, unsigned int* out) {
  return Tell(__func__, device, out, [&](const Json& gpu) { return Clock(ModelOf(gpu), type); });
}
nvmlReturn_t nvmlDeviceGetMaxClockInfo(nvmlDevice_t device, nvmlClockType_t type,
                                       unsigned int* out) {
  return Tell(__func__, device, out, [&](const Json& gpu) { return Clock(ModelOf(gpu), type); });
}
nvmlReturn_t nvmlDeviceGetPcieReplayCounter(nvmlDevice_t device, unsigned int* out) {
  return Tell(__func__, device, out, [](const Json& gpu) { return gpu["replays"]; });
}

nvmlReturn_t nvmlDeviceGetEccMode(nvmlDevice_t device, nvmlEnableState_t* current,
                                  nvmlEnableState_t* pending) {
  return EnterGpu(__func__, device, [&](Call&, Json& gpu) {
    if (current == nullptr || pending == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
    *current = *pending =
        gpu["ecc"]["enabled"] == true ? NVML_FEATURE_ENABLED : NVML_FEATURE_DISABLED;
    return NVML_SUCCESS;
  });
}

nvmlReturn_t nvmlDeviceGetTotalEccErrors(nvmlDevice_t device, nvmlMemoryErrorType_t type,
                                         nvmlEccCounterType_t counter, unsigned long long* count) {
  return EnterGpu(__func__, device, [&](Call&, Json& gpu) {
    if (count == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
    if (gpu["ecc"]["enabled"] != true) return NVML_ERROR_NOT_SUPPORTED;
    *count = EccErrors(gpu, type);
    if (counter == NVML_AGGREGATE_ECC && type == NVML_MEMORY_ERROR_TYPE_UNCORRECTED)
      *count += gpu["ecc"]["lifetime"].get<unsigned long long>();
    return NVML_SUCCESS;
  });
}

nvmlReturn_t nvmlDeviceGetMemoryErrorCounter(nvmlDevice_t device, nvmlMemoryErrorType_t type,
                                             nvmlEccCounterType_t, nvmlMemoryLocation_t location,
                                             unsigned long long* count) {
  return EnterGpu(__func__, device, [&](Call&, Json& gpu) {
    if (count == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
    if (gpu["ecc"]["enabled"] != true) return NVML_ERROR_NOT_SUPPORTED;
    *count = location == NVML_MEMORY_LOCATION_DRAM ? EccErrors(gpu, type) : 0;
    return NVML_SUCCESS;
  });
}

nvmlReturn_t nvmlDeviceGetSramEccErrorStatus(nvmlDevice_t device, nvmlEccSramErrorStatus_t* out) {
  return EnterGpu(__func__, device, [&](Call&, Json& gpu) {
    if (out == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
    if (out->version != nvmlEccSramErrorStatus_v1) return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    *out = {};
    out->version = nvmlEccSramErrorStatus_v1;
    out->bThresholdExceeded = gpu["ecc"]["sramOverThreshold"] == true;
    return NVML_SUCCESS;
  });
}

nvmlReturn_t nvmlDeviceGetRemappedRows(nvmlDevice_t device, unsigned int* corrected,
                                       unsigned int* uncorrected, unsigned int* pending,
                                       unsigned int* failed) {
  return EnterGpu(__func__, device, [&](Call&, Json& gpu) {
    if (!corrected || !uncorrected || !pending || !failed) return NVML_ERROR_INVALID_ARGUMENT;
    const Json& rows = gpu["rows"];
    *corrected = rows["corrected"];
    *uncorrected = rows["uncorrected"];
    *pending = rows["pending"] == true;
    *failed = rows["failed"] == true;
    return NVML_SUCCESS;
  });
}

nvmlReturn_t nvmlDeviceGetRowRemapperHistogram(nvmlDevice_t device,
                                               nvmlRowRemapperHistogramValues_t* out) {
  return EnterGpu(__func__, device, [&](Call&, Json& gpu) {
    if (out == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
    constexpr unsigned kBanks = 640;
    const unsigned used = gpu["rows"]["uncorrected"];
    const unsigned none = gpu["rows"]["failed"] == true ? 1 : 0;
    *out = {kBanks - used - none, used, 0, 0, none};
    return NVML_SUCCESS;
  });
}

nvmlReturn_t nvmlDeviceGetRepairStatus(nvmlDevice_t device, nvmlRepairStatus_t* out) {
  return EnterGpu(__func__, device, [&](Call&, Json& gpu) {
    if (out == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
    if (out->version != nvmlRepairStatus_v1) return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    out->bChannelRepairPending = gpu["repair"]["channel"] == true;
    out->bTpcRepairPending = gpu["repair"]["tpc"] == true;
    return NVML_SUCCESS;
  });
}

// Pages are retired on GPUs before Ampere; these have rows remapped.
nvmlReturn_t nvmlDeviceGetRetiredPages(nvmlDevice_t device, nvmlPageRetirementCause_t,
                                       unsigned int*, unsigned long long*) {
  return EnterGpu(__func__, device, [&](Call&, Json&) { return NVML_ERROR_NOT_SUPPORTED; });
}
nvmlReturn_t nvmlDeviceGetRetiredPagesPendingStatus(nvmlDevice_t device, nvmlEnableState_t*) {
  return EnterGpu(__func__, device, [&](Call&, Json&) { return NVML_ERROR_NOT_SUPPORTED; });
}

nvmlReturn_t nvmlDeviceGetFieldValues(nvmlDevice_t device, int count, nvmlFieldValue_t* values) {
  return EnterGpu(__func__, device, [&](Call&, Json& gpu) {
    if (values == nullptr || count <= 0) return NVML_ERROR_INVALID_ARGUMENT;
    for (int i = 0; i < count; ++i) {
      values[i].nvmlReturn = NVML_ERROR_NOT_SUPPORTED;
      if (values[i].fieldId != NVML_FI_DEV_GET_GPU_RECOVERY_ACTION) continue;
      values[i].nvmlReturn = NVML_SUCCESS;
      values[i].valueType = NVML_VALUE_TYPE_UNSIGNED_INT;
      values[i].value.uiVal = gpu["recovery"];
    }
    return NVML_SUCCESS;
  });
}

}  // extern "C"
}  // namespace fake_nvml
