#include "node-agent/gpu/gpu_reader.h"

#include <algorithm>
#include <iterator>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "node-agent/gpu/mig_reader.h"

namespace ashlar::node_agent {
namespace {

constexpr size_t kText = NVML_DEVICE_UUID_V2_BUFFER_SIZE;

std::string Architecture(unsigned number) {
  switch (number) {
    case NVML_DEVICE_ARCH_KEPLER:
      return "Kepler";
    case NVML_DEVICE_ARCH_MAXWELL:
      return "Maxwell";
    case NVML_DEVICE_ARCH_PASCAL:
      return "Pascal";
    case NVML_DEVICE_ARCH_VOLTA:
      return "Volta";
    case NVML_DEVICE_ARCH_TURING:
      return "Turing";
    case NVML_DEVICE_ARCH_AMPERE:
      return "Ampere";
    case NVML_DEVICE_ARCH_ADA:
      return "Ada";
    case NVML_DEVICE_ARCH_HOPPER:
      return "Hopper";
    case NVML_DEVICE_ARCH_BLACKWELL:
      return "Blackwell";
    default:
      return absl::StrCat(number);
  }
}

const char* LinkSpeed(unsigned generation) {
  static constexpr const char* kSpeeds[] = {"",          "2.5 GT/s",  "5.0 GT/s", "8.0 GT/s",
                                            "16.0 GT/s", "32.0 GT/s", "64.0 GT/s"};
  return generation < std::size(kSpeeds) ? kSpeeds[generation] : "";
}

const char* RecoveryAction(unsigned action) {
  static constexpr const char* kActions[] = {"None", "Reset", "Reboot", "DrainP2P",
                                             "DrainAndReset"};
  return action < std::size(kActions) ? kActions[action] : "";
}

// As UUIDs are written.
std::string Uuid(const unsigned char (&bytes)[NVML_GPU_FABRIC_UUID_LEN]) {
  std::string text;
  for (size_t i = 0; i < std::size(bytes); ++i)
    absl::StrAppendFormat(&text, "%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "",
                          bytes[i]);
  return text;
}

const char* ComputeMode(nvmlComputeMode_t mode) {
  switch (mode) {
    case NVML_COMPUTEMODE_DEFAULT:
      return "Default";
    case NVML_COMPUTEMODE_PROHIBITED:
      return "Prohibited";
    case NVML_COMPUTEMODE_EXCLUSIVE_PROCESS:
      return "ExclusiveProcess";
    default:
      return "";
  }
}

const char* AddressingMode(unsigned mode) {
  static constexpr const char* kModes[] = {"None", "HMM", "ATS"};
  return mode < std::size(kModes) ? kModes[mode] : "";
}

// Of those that are trouble: that a limit of power or clocks is reached is not.
std::vector<std::string> Slowdowns(unsigned long long reasons) {
  static constexpr std::pair<unsigned long long, const char*> kNames[] = {
      {nvmlClocksThrottleReasonHwSlowdown, "HwSlowdown"},
      {nvmlClocksEventReasonSwThermalSlowdown, "SwThermalSlowdown"},
      {nvmlClocksThrottleReasonHwThermalSlowdown, "HwThermalSlowdown"},
      {nvmlClocksThrottleReasonHwPowerBrakeSlowdown, "HwPowerBrake"},
  };
  std::vector<std::string> names;
  for (const auto& [bit, name] : kNames)
    if ((reasons & bit) != 0) names.emplace_back(name);
  return names;
}

int32_t Watts(unsigned milliwatts) { return static_cast<int32_t>((milliwatts + 500) / 1000); }

}  // namespace

std::string PciAddress(const nvmlPciInfo_t& pci) {
  return absl::StrFormat("%04x:%02x:%02x.0", pci.domain, pci.bus, pci.device);
}

v1alpha1::GpuDriver GpuReader::Driver() const {
  v1alpha1::GpuDriver driver;
  driver.set_state("Ready");
  char version[NVML_SYSTEM_DRIVER_VERSION_BUFFER_SIZE] = "";
  if (ASHLAR_NVML(nvml_, nvmlSystemGetDriverVersion, version, sizeof version) == NVML_SUCCESS)
    driver.set_version(version);
  int cuda = 0;
  if (ASHLAR_NVML(nvml_, nvmlSystemGetCudaDriverVersion_v2, &cuda) == NVML_SUCCESS)
    driver.set_cuda_version(absl::StrCat(cuda / 1000, ".", cuda % 1000 / 10));
  return driver;
}

absl::StatusOr<v1alpha1::Gpu> GpuReader::Read(unsigned index) const {
  nvmlDevice_t device{};
  nvmlReturn_t result = ASHLAR_NVML(nvml_, nvmlDeviceGetHandleByIndex_v2, index, &device);
  char uuid[kText] = "";
  if (result == NVML_SUCCESS)
    result = ASHLAR_NVML(nvml_, nvmlDeviceGetUUID, device, uuid, sizeof uuid);
  if (result != NVML_SUCCESS) return absl::UnavailableError(nvml_.Words(result));
  v1alpha1::Gpu gpu;
  gpu.set_uuid(uuid);
  ReadIdentity(device, gpu);
  ReadModes(device, gpu);
  ReadLinks(device, gpu);
  ReadPower(device, gpu);
  ReadHealth(device, *gpu.mutable_health());
  if (std::optional<v1alpha1::Mig> mig = ReadMig(nvml_, device)) *gpu.mutable_mig() = *mig;
  // It may have gone in between: then half of the above is missing.
  result = ASHLAR_NVML(nvml_, nvmlDeviceGetUUID, device, uuid, sizeof uuid);
  if (result != NVML_SUCCESS) return absl::UnavailableError(nvml_.Words(result));
  return gpu;
}

void GpuReader::ReadIdentity(nvmlDevice_t device, v1alpha1::Gpu& gpu) const {
  char text[kText] = "";
  if (ASHLAR_NVML(nvml_, nvmlDeviceGetName, device, text, sizeof text) == NVML_SUCCESS)
    gpu.set_product(text);
  if (ASHLAR_NVML(nvml_, nvmlDeviceGetSerial, device, text, sizeof text) == NVML_SUCCESS)
    gpu.set_serial(text);
  nvmlPciInfo_t pci;
  if (ASHLAR_NVML(nvml_, nvmlDeviceGetPciInfo_v3, device, &pci) == NVML_SUCCESS)
    gpu.set_pci_address(PciAddress(pci));
  unsigned number = 0;
  if (ASHLAR_NVML(nvml_, nvmlDeviceGetMinorNumber, device, &number) == NVML_SUCCESS)
    gpu.set_minor(static_cast<int32_t>(number));
  if (ASHLAR_NVML(nvml_, nvmlDeviceGetArchitecture, device, &number) == NVML_SUCCESS)
    gpu.set_architecture(Architecture(number));
  int major = 0, minor = 0;
  if (ASHLAR_NVML(nvml_, nvmlDeviceGetCudaComputeCapability, device, &major, &minor) ==
      NVML_SUCCESS)
    gpu.set_cuda_capability(absl::StrCat(major, ".", minor));
  nvmlMemory_v2_t memory{};
  memory.version = nvmlMemory_v2;
  if (ASHLAR_NVML(nvml_, nvmlDeviceGetMemoryInfo_v2, device, &memory) == NVML_SUCCESS)
    gpu.set_memory(static_cast<int64_t>(memory.total));
  nvmlBAR1Memory_t bar1;
  if (ASHLAR_NVML(nvml_, nvmlDeviceGetBAR1MemoryInfo, device, &bar1) == NVML_SUCCESS)
    gpu.set_bar1_memory(static_cast<int64_t>(bar1.bar1Total));
  gpu.set_numa_node(-1);
  unsigned long nodes[8] = {};
  if (ASHLAR_NVML(nvml_, nvmlDeviceGetMemoryAffinity, device, 8u, nodes,
                  static_cast<nvmlAffinityScope_t>(NVML_AFFINITY_SCOPE_NODE)) == NVML_SUCCESS)
    for (int node = 511; node >= 0; --node)
      if ((nodes[node / 64] >> node % 64 & 1) != 0) gpu.set_numa_node(node);
}

void GpuReader::ReadLinks(nvmlDevice_t device, v1alpha1::Gpu& gpu) const {
  unsigned number = 0;
  if (ASHLAR_NVML(nvml_, nvmlDeviceGetCurrPcieLinkGeneration, device, &number) == NVML_SUCCESS)
    gpu.set_link_speed(LinkSpeed(number));
  if (ASHLAR_NVML(nvml_, nvmlDeviceGetCurrPcieLinkWidth, device, &number) == NVML_SUCCESS)
    gpu.set_link_width(static_cast<int32_t>(number));
  ReadBestLink(device, gpu);
  int links = 0, up = 0;
  unsigned long long errors = 0;
  for (unsigned link = 0; link < NVML_NVLINK_MAX_LINKS; ++link) {
    nvmlEnableState_t active = NVML_FEATURE_DISABLED;
    if (ASHLAR_NVML(nvml_, nvmlDeviceGetNvLinkState, device, link, &active) != NVML_SUCCESS)
      continue;
    ++links;
    up += active == NVML_FEATURE_ENABLED ? 1 : 0;
    for (const auto kind : {NVML_NVLINK_ERROR_DL_REPLAY, NVML_NVLINK_ERROR_DL_RECOVERY}) {
      unsigned long long count = 0;
      if (ASHLAR_NVML(nvml_, nvmlDeviceGetNvLinkErrorCounter, device, link, kind, &count) ==
          NVML_SUCCESS)
        errors += count;
    }
  }
  if (links == 0) return;
  gpu.mutable_health()->set_nvlink_errors(static_cast<int64_t>(errors));
  gpu.set_nvlinks(links);
  gpu.set_nvlinks_up(up);
  nvmlGpuFabricInfoV_t info{};
  info.version = nvmlGpuFabricInfo_v3;
  nvmlReturn_t result = ASHLAR_NVML(nvml_, nvmlDeviceGetGpuFabricInfoV, device, &info);
  if (result == NVML_ERROR_ARGUMENT_VERSION_MISMATCH) {  // an older driver
    info.version = nvmlGpuFabricInfo_v2;
    result = ASHLAR_NVML(nvml_, nvmlDeviceGetGpuFabricInfoV, device, &info);
  }
  if (result != NVML_SUCCESS || info.state == NVML_GPU_FABRIC_STATE_NOT_SUPPORTED) return;
  static constexpr const char* kStates[] = {"", "NotStarted", "InProgress", "Completed"};
  v1alpha1::GpuFabric& fabric = *gpu.mutable_fabric();
  static constexpr const char* kHealth[] = {"", "Healthy", "Unhealthy", "LimitedCapacity"};
  if (info.version == nvmlGpuFabricInfo_v3 && info.healthSummary < std::size(kHealth))
    fabric.set_health(kHealth[info.healthSummary]);
  if (info.state < std::size(kStates)) fabric.set_state(kStates[info.state]);
  if (info.state != NVML_GPU_FABRIC_STATE_COMPLETED || info.status != NVML_SUCCESS) return;
  fabric.set_cluster_uuid(Uuid(info.clusterUuid));
  fabric.set_clique(static_cast<int32_t>(info.cliqueId));
}

void GpuReader::ReadModes(nvmlDevice_t device, v1alpha1::Gpu& gpu) const {
  char text[kText] = "";
  if (ASHLAR_NVML(nvml_, nvmlDeviceGetVbiosVersion, device, text, unsigned{sizeof text}) ==
      NVML_SUCCESS)
    gpu.set_firmware(text);
  nvmlComputeMode_t compute{};
  if (ASHLAR_NVML(nvml_, nvmlDeviceGetComputeMode, device, &compute) == NVML_SUCCESS)
    gpu.set_compute_mode(ComputeMode(compute));
  nvmlEnableState_t persistence{};
  if (ASHLAR_NVML(nvml_, nvmlDeviceGetPersistenceMode, device, &persistence) == NVML_SUCCESS)
    gpu.set_persistence(persistence == NVML_FEATURE_ENABLED);
  nvmlDeviceAddressingMode_t addressing{};
  addressing.version = nvmlDeviceAddressingMode_v1;
  if (ASHLAR_NVML(nvml_, nvmlDeviceGetAddressingMode, device, &addressing) == NVML_SUCCESS)
    gpu.set_addressing_mode(AddressingMode(addressing.value));
  nvmlPlatformInfo_t platform{};
  platform.version = nvmlPlatformInfo_v2;
  if (ASHLAR_NVML(nvml_, nvmlDeviceGetPlatformInfo, device, &platform) != NVML_SUCCESS) return;
  const std::string chassis(reinterpret_cast<const char*>(platform.chassisSerialNumber),
                            sizeof platform.chassisSerialNumber);
  const std::string serial = chassis.substr(0, chassis.find('\0'));
  const auto printable = [](unsigned char c) { return c > ' ' && c < 0x7f; };
  if (serial.empty() || !std::all_of(serial.begin(), serial.end(), printable)) return;
  v1alpha1::GpuPlatform& place = *gpu.mutable_platform();
  place.set_chassis_serial(serial);
  place.set_slot(platform.slotNumber);
  place.set_tray(platform.trayIndex);
  place.set_host(platform.hostId);
  place.set_module(platform.moduleId);
}

// A GPU that rests may lower the speed of its link, but gives up no lanes.
void GpuReader::ReadBestLink(nvmlDevice_t device, v1alpha1::Gpu& gpu) const {
  unsigned number = 0;
  if (ASHLAR_NVML(nvml_, nvmlDeviceGetMaxPcieLinkGeneration, device, &number) == NVML_SUCCESS)
    gpu.set_max_link_speed(LinkSpeed(number));
  if (ASHLAR_NVML(nvml_, nvmlDeviceGetMaxPcieLinkWidth, device, &number) == NVML_SUCCESS)
    gpu.set_max_link_width(static_cast<int32_t>(number));
  if (ASHLAR_NVML(nvml_, nvmlDeviceGetPcieReplayCounter, device, &number) == NVML_SUCCESS)
    gpu.mutable_health()->set_pcie_replays(number);
  if (gpu.has_link_width() && gpu.link_width() < gpu.max_link_width()) {
    gpu.mutable_health()->set_link_problem(
        absl::StrCat(gpu.link_width(), " of ", gpu.max_link_width(), " lanes"));
    return;
  }
  nvmlPstates_t state = NVML_PSTATE_UNKNOWN;
  ASHLAR_NVML(nvml_, nvmlDeviceGetPerformanceState, device, &state);
  if (state == NVML_PSTATE_0 && gpu.link_speed() != gpu.max_link_speed() &&
      !gpu.link_speed().empty() && !gpu.max_link_speed().empty())
    gpu.mutable_health()->set_link_problem(
        absl::StrCat(gpu.link_speed(), " in place of ", gpu.max_link_speed()));
}

void GpuReader::ReadPower(nvmlDevice_t device, v1alpha1::Gpu& gpu) const {
  unsigned limit = 0, least = 0, most = 0;
  if (ASHLAR_NVML(nvml_, nvmlDeviceGetPowerManagementLimit, device, &limit) != NVML_SUCCESS ||
      ASHLAR_NVML(nvml_, nvmlDeviceGetPowerManagementLimitConstraints, device, &least, &most) !=
          NVML_SUCCESS)
    return;
  v1alpha1::GpuPower& power = *gpu.mutable_power();
  power.set_limit_watts(Watts(limit));
  power.set_min_limit_watts(Watts(least));
  power.set_max_limit_watts(Watts(most));
  if (ASHLAR_NVML(nvml_, nvmlDeviceGetPowerManagementDefaultLimit, device, &limit) == NVML_SUCCESS)
    power.set_default_limit_watts(Watts(limit));
  if (ASHLAR_NVML(nvml_, nvmlDeviceGetPowerUsage, device, &limit) == NVML_SUCCESS)
    power.set_usage_watts(Watts(limit));
}

void GpuReader::ReadHealth(nvmlDevice_t device, v1alpha1::GpuHealth& health) const {
  nvmlTemperature_t temperature{};
  temperature.version = nvmlTemperature_v1;
  temperature.sensorType = NVML_TEMPERATURE_GPU;
  nvmlReturn_t result = ASHLAR_NVML(nvml_, nvmlDeviceGetTemperatureV, device, &temperature);
  if (result == NVML_ERROR_FUNCTION_NOT_FOUND) {
    using Older = nvmlReturn_t(nvmlDevice_t, nvmlTemperatureSensors_t, unsigned*);
    unsigned degrees = 0;
    result = nvml_.Call<Older>("nvmlDeviceGetTemperature", device, NVML_TEMPERATURE_GPU, &degrees);
    temperature.temperature = static_cast<int>(degrees);
  }
  if (result == NVML_SUCCESS) health.set_temperature_celsius(temperature.temperature);
  unsigned slowdown = 0;
  if (ASHLAR_NVML(nvml_, nvmlDeviceGetTemperatureThreshold, device,
                  NVML_TEMPERATURE_THRESHOLD_SLOWDOWN, &slowdown) == NVML_SUCCESS)
    health.set_slowdown_celsius(static_cast<int32_t>(slowdown));
  if (ASHLAR_NVML(nvml_, nvmlDeviceGetTemperatureThreshold, device,
                  NVML_TEMPERATURE_THRESHOLD_SHUTDOWN, &slowdown) == NVML_SUCCESS)
    health.set_shutdown_celsius(static_cast<int32_t>(slowdown));
  unsigned long long reasons = 0;
  if (ASHLAR_NVML(nvml_, nvmlDeviceGetCurrentClocksEventReasons, device, &reasons) == NVML_SUCCESS)
    for (std::string& name : Slowdowns(reasons)) health.add_slowdowns(std::move(name));
  nvmlFieldValue_t field{};
  field.fieldId = NVML_FI_DEV_GET_GPU_RECOVERY_ACTION;
  if (ASHLAR_NVML(nvml_, nvmlDeviceGetFieldValues, device, 1, &field) == NVML_SUCCESS &&
      field.nvmlReturn == NVML_SUCCESS)
    health.set_recovery_action(RecoveryAction(field.value.uiVal));
  ReadMemoryErrors(device, health);
}

void GpuReader::ReadMemoryErrors(nvmlDevice_t device, v1alpha1::GpuHealth& health) const {
  nvmlEnableState_t current{}, pending{};
  if (ASHLAR_NVML(nvml_, nvmlDeviceGetEccMode, device, &current, &pending) == NVML_SUCCESS)
    health.set_ecc_enabled(current == NVML_FEATURE_ENABLED);
  unsigned long long errors = 0;
  if (ASHLAR_NVML(nvml_, nvmlDeviceGetTotalEccErrors, device, NVML_MEMORY_ERROR_TYPE_CORRECTED,
                  NVML_VOLATILE_ECC, &errors) == NVML_SUCCESS)
    health.set_ecc_corrected(static_cast<int64_t>(errors));
  if (ASHLAR_NVML(nvml_, nvmlDeviceGetTotalEccErrors, device, NVML_MEMORY_ERROR_TYPE_UNCORRECTED,
                  NVML_VOLATILE_ECC, &errors) == NVML_SUCCESS)
    health.set_ecc_uncorrected(static_cast<int64_t>(errors));
  if (ASHLAR_NVML(nvml_, nvmlDeviceGetTotalEccErrors, device, NVML_MEMORY_ERROR_TYPE_UNCORRECTED,
                  NVML_AGGREGATE_ECC, &errors) == NVML_SUCCESS)
    health.set_ecc_uncorrected_lifetime(static_cast<int64_t>(errors));
  nvmlEccSramErrorStatus_t sram{};
  sram.version = nvmlEccSramErrorStatus_v1;
  if (ASHLAR_NVML(nvml_, nvmlDeviceGetSramEccErrorStatus, device, &sram) == NVML_SUCCESS)
    health.set_sram_over_threshold(sram.bThresholdExceeded != 0);
  unsigned corrected = 0, uncorrected = 0, waits = 0, failed = 0;
  if (ASHLAR_NVML(nvml_, nvmlDeviceGetRemappedRows, device, &corrected, &uncorrected, &waits,
                  &failed) == NVML_SUCCESS) {
    health.set_remapped_rows_corrected(static_cast<int32_t>(corrected));
    health.set_remapped_rows_uncorrected(static_cast<int32_t>(uncorrected));
    health.set_row_remap_pending(waits != 0);
    health.set_row_remap_failed(failed != 0);
  }
  nvmlRowRemapperHistogramValues_t banks{};
  if (ASHLAR_NVML(nvml_, nvmlDeviceGetRowRemapperHistogram, device, &banks) == NVML_SUCCESS)
    health.set_banks_without_spare_rows(static_cast<int32_t>(banks.none));
  nvmlRepairStatus_t repair{};
  repair.version = nvmlRepairStatus_v1;
  if (ASHLAR_NVML(nvml_, nvmlDeviceGetRepairStatus, device, &repair) == NVML_SUCCESS) {
    health.set_channel_repair_pending(repair.bChannelRepairPending != 0);
    health.set_tpc_repair_pending(repair.bTpcRepairPending != 0);
  }
  int retired = 0;
  for (const auto cause : {NVML_PAGE_RETIREMENT_CAUSE_MULTIPLE_SINGLE_BIT_ECC_ERRORS,
                           NVML_PAGE_RETIREMENT_CAUSE_DOUBLE_BIT_ECC_ERROR}) {
    unsigned count = 0;  // with room for none it tells how many there are
    const nvmlReturn_t result = ASHLAR_NVML(nvml_, nvmlDeviceGetRetiredPages, device, cause, &count,
                                            static_cast<unsigned long long*>(nullptr));
    if (result == NVML_SUCCESS || result == NVML_ERROR_INSUFFICIENT_SIZE)
      retired += static_cast<int>(count);
  }
  health.set_retired_pages(retired);
  nvmlEnableState_t retiring{};
  if (ASHLAR_NVML(nvml_, nvmlDeviceGetRetiredPagesPendingStatus, device, &retiring) == NVML_SUCCESS)
    health.set_page_retirement_pending(retiring == NVML_FEATURE_ENABLED);
}

}  // namespace ashlar::node_agent
