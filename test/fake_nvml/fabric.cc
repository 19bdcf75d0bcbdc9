// NVLink, the fabric behind it, and how GPUs reach one another.
#include <cstdio>

#include "test/fake_nvml/library.h"

namespace fake_nvml {
extern "C" {

nvmlReturn_t nvmlDeviceGetNvLinkState(nvmlDevice_t device, unsigned int link,
                                      nvmlEnableState_t* active) {
  return EnterGpu(__func__, device, [&](Call&, Json& gpu) {
    if (active == nullptr || link >= NVML_NVLINK_MAX_LINKS) return NVML_ERROR_INVALID_ARGUMENT;
    if (link >= ModelOf(gpu).nvlinks) return NVML_ERROR_NOT_SUPPORTED;
    *active = NVML_FEATURE_ENABLED;
    for (const Json& down : gpu["linksDown"])
      if (down == link) *active = NVML_FEATURE_DISABLED;
    return NVML_SUCCESS;
  });
}

// What the scene says is told of the first link.
nvmlReturn_t nvmlDeviceGetNvLinkErrorCounter(nvmlDevice_t device, unsigned int link,
                                             nvmlNvLinkErrorCounter_t counter,
                                             unsigned long long* count) {
  return EnterGpu(__func__, device, [&](Call&, Json& gpu) {
    if (count == nullptr || link >= NVML_NVLINK_MAX_LINKS) return NVML_ERROR_INVALID_ARGUMENT;
    if (link >= ModelOf(gpu).nvlinks) return NVML_ERROR_NOT_SUPPORTED;
    *count = link == 0 && counter == NVML_NVLINK_ERROR_DL_REPLAY
                 ? gpu["linkErrors"].get<unsigned long long>()
                 : 0;
    return NVML_SUCCESS;
  });
}

nvmlReturn_t nvmlDeviceGetNvLinkRemoteDeviceType(nvmlDevice_t device, unsigned int link,
                                                 nvmlIntNvLinkDeviceType_t* type) {
  return EnterGpu(__func__, device, [&](Call&, Json& gpu) {
    if (type == nullptr || link >= NVML_NVLINK_MAX_LINKS) return NVML_ERROR_INVALID_ARGUMENT;
    if (link >= ModelOf(gpu).nvlinks) return NVML_ERROR_NOT_SUPPORTED;
    *type = NVML_NVLINK_DEVICE_TYPE_SWITCH;
    return NVML_SUCCESS;
  });
}

nvmlReturn_t nvmlDeviceGetGpuFabricInfoV(nvmlDevice_t device, nvmlGpuFabricInfoV_t* info) {
  return EnterGpu(__func__, device, [&](Call&, Json& gpu) {
    if (info == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
    if (info->version != nvmlGpuFabricInfo_v3 && info->version != nvmlGpuFabricInfo_v2)
      return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    const bool third = info->version == nvmlGpuFabricInfo_v3;
    const Json& fabric = gpu["fabric"];
    info->state = NVML_GPU_FABRIC_STATE_NOT_SUPPORTED;
    if (!ModelOf(gpu).has_fabric || fabric.is_null()) return NVML_SUCCESS;
    info->state = NVML_GPU_FABRIC_STATE_COMPLETED;
    info->status = NVML_SUCCESS;
    info->cliqueId = fabric["clique"];
    info->healthMask = 0;
    if (third) info->healthSummary = NVML_GPU_FABRIC_HEALTH_SUMMARY_HEALTHY;
    std::string digits;
    for (const char c : fabric["clusterUuid"].get<std::string>())
      if (c != '-') digits += c;
    for (size_t i = 0; i < NVML_GPU_FABRIC_UUID_LEN; ++i)
      info->clusterUuid[i] =
          static_cast<unsigned char>(std::stoul(digits.substr(i * 2, 2), nullptr, 16));
    return NVML_SUCCESS;
  });
}

}  // extern "C"
}  // namespace fake_nvml
