#include "node-agent/gpu/partition/gpu_changer.h"

#include <fcntl.h>
#include <sys/file.h>

#include <algorithm>
#include <optional>
#include <vector>

#include "absl/strings/str_cat.h"
#include "lib/system/files.h"
#include "node-agent/gpu/mig_reader.h"

namespace ashlar::node_agent {
namespace {

namespace pb = agent::v1;
using v1alpha1::Mig;
using v1alpha1::MigInstance;
using v1alpha1::MigProfile;

constexpr unsigned kMostComputeInstances = 8;

pb::GpuChangeAnswer No(absl::string_view reason, absl::string_view message) {
  pb::GpuChangeAnswer answer;
  answer.set_reason(std::string(reason));
  answer.set_message(std::string(message));
  return answer;
}

const char* ReasonOf(nvmlReturn_t result) {
  switch (result) {
    case NVML_ERROR_IN_USE:
      return "InUse";
    case NVML_ERROR_INSUFFICIENT_RESOURCES:
      return "NoRoom";
    case NVML_ERROR_RESET_REQUIRED:
      return "NeedsReset";
    case NVML_ERROR_NO_PERMISSION:
      return "NoPermission";
    case NVML_ERROR_NOT_SUPPORTED:
      return "NotSupported";
    case NVML_ERROR_GPU_IS_LOST:
    case NVML_ERROR_NOT_FOUND:
      return "GpuLost";
    default:
      return "Failed";
  }
}

std::string Words(const pb::GpuPlace& place) {
  return absl::StrCat(place.profile(), " at memory slices ", place.start(), " to ",
                      place.start() + place.size() - 1);
}

bool Has(const MigInstance& instance, const pb::GpuPlace& place) {
  return instance.profile() == place.profile() && instance.start() == place.start() &&
         instance.size() == place.size();
}

// The steps on one GPU that is there.
class Steps {
 public:
  Steps(const Nvml& nvml, nvmlDevice_t device, Mig mig)
      : nvml_(nvml), device_(device), mig_(std::move(mig)) {}

  pb::GpuChangeAnswer Read() const {
    pb::GpuChangeAnswer answer;
    *answer.mutable_mig() = mig_;
    return answer;
  }

  pb::GpuChangeAnswer SetMode(bool enabled) const {
    if (mig_.enabled() == enabled && mig_.pending() == enabled) return {};
    if (mig_.instances_size() > 0)
      return No("InUse", absl::StrCat("the GPU has ", mig_.instances_size(), " instances"));
    unsigned architecture = 0;
    ASHLAR_NVML(nvml_, nvmlDeviceGetArchitecture, device_, &architecture);
    if (architecture < NVML_DEVICE_ARCH_HOPPER)
      return No("NeedsReset",
                "a GPU before Hopper is divided after a reset: set its MIG mode while nothing uses "
                "it (nvidia-smi -i UUID -mig 1) and reset it or restart the node");
    if (mig_.enabled() != mig_.pending())
      return No("NeedsReset", "its MIG mode changes with the next reset");
    nvmlReturn_t activated = NVML_SUCCESS;
    const nvmlReturn_t result =
        ASHLAR_NVML(nvml_, nvmlDeviceSetMigMode, device_, unsigned{enabled}, &activated);
    if (result != NVML_SUCCESS) return Failure("nvmlDeviceSetMigMode", result);
    if (activated == NVML_SUCCESS) return {};
    nvmlReturn_t ignored = NVML_SUCCESS;
    ASHLAR_NVML(nvml_, nvmlDeviceSetMigMode, device_, unsigned{!enabled}, &ignored);
    return Failure("its MIG mode cannot change now", activated);
  }

  pb::GpuChangeAnswer Make(const pb::GpuPlace& place) const {
    const auto profile =
        std::find_if(mig_.profiles().begin(), mig_.profiles().end(),
                     [&](const MigProfile& its) { return its.name() == place.profile(); });
    if (profile == mig_.profiles().end())
      return No("BadRequest", absl::StrCat("the GPU has no profile ", place.profile()));
    const bool has_place = std::any_of(
        profile->placements().begin(), profile->placements().end(), [&](const auto& its) {
          return its.start() == place.start() && its.size() == place.size();
        });
    if (!has_place) return No("BadRequest", absl::StrCat("the GPU has no ", Words(place)));
    if (!mig_.enabled()) return No("ModeOff", "the MIG mode of the GPU is off");
    for (const MigInstance& other : mig_.instances())
      if (place.start() < other.start() + other.size() &&
          other.start() < place.start() + place.size())
        return No("NoRoom",
                  absl::StrCat("instance ", other.id(), " (", other.profile(),
                               ") has memory slices ", other.start(), " to ",
                               other.start() + other.size() - 1, "; it must be removed first"));
    const nvmlGpuInstancePlacement_t placement = {static_cast<unsigned>(place.start()),
                                                  static_cast<unsigned>(place.size())};
    nvmlGpuInstance_t instance{};
    nvmlReturn_t result = ASHLAR_NVML(nvml_, nvmlDeviceCreateGpuInstanceWithPlacement, device_,
                                      static_cast<unsigned>(profile->id()), &placement, &instance);
    if (result != NVML_SUCCESS) return Failure("nvmlDeviceCreateGpuInstanceWithPlacement", result);
    nvmlGpuInstanceInfo_t info{};
    result = ASHLAR_NVML(nvml_, nvmlGpuInstanceGetInfo, instance, &info);
    // Its number is not known: whoever asked removes it by its place.
    if (result != NVML_SUCCESS) return No("Failed", Said("nvmlGpuInstanceGetInfo", result));
    pb::GpuChangeAnswer answer;
    answer.set_instance(static_cast<int32_t>(info.id));
    return answer;
  }

  pb::GpuChangeAnswer MakeCompute(const pb::MakeComputeInstance& wanted) const {
    const MigInstance* instance = Find(wanted.instance());
    if (instance == nullptr || !Has(*instance, wanted.place()))
      return No("Failed", absl::StrCat("instance ", wanted.instance(), " is not the one of ",
                                       Words(wanted.place()), " any more"));
    nvmlGpuInstance_t handle{};
    nvmlReturn_t result = Handle(*instance, handle);
    if (result != NVML_SUCCESS) return Failure("nvmlDeviceGetGpuInstanceById", result);
    // The profile that has the most slices has all of them.
    nvmlComputeInstanceProfileInfo_t most{}, info{};
    for (unsigned profile = 0; profile < NVML_COMPUTE_INSTANCE_PROFILE_COUNT; ++profile)
      if (ASHLAR_NVML(nvml_, nvmlGpuInstanceGetComputeInstanceProfileInfo, handle, profile,
                      unsigned{NVML_COMPUTE_INSTANCE_ENGINE_PROFILE_SHARED},
                      &info) == NVML_SUCCESS &&
          info.sliceCount > most.sliceCount)
        most = info;
    nvmlComputeInstance_t compute{};
    result = ASHLAR_NVML(nvml_, nvmlGpuInstanceCreateComputeInstance, handle, most.id, &compute);
    if (result != NVML_SUCCESS) return Failure("nvmlGpuInstanceCreateComputeInstance", result);
    const std::optional<Mig> fresh = ReadMig(nvml_, device_);
    pb::GpuChangeAnswer answer;
    if (fresh)
      for (const MigInstance& its : fresh->instances())
        if (its.id() == instance->id() && its.devices_size() == 1) {
          answer.set_compute_instance(its.devices(0).id());
          answer.set_mig_device(its.devices(0).uuid());
        }
    if (answer.mig_device().empty())
      return No("Failed", "the driver shows no MIG device of the instance that it has made");
    return answer;
  }

  pb::GpuChangeAnswer Remove(const pb::RemoveGpuInstance& wanted) const {
    if (!mig_.enabled()) return {};
    nvmlGpuInstance_t handle{};
    bool there = false;
    nvmlReturn_t result = FindMeant(wanted, handle, there);
    if (result != NVML_SUCCESS) return Failure("listing the instances", result);
    if (!there) return {};
    for (unsigned id = 0; id < kMostComputeInstances; ++id) {
      nvmlComputeInstance_t compute{};
      result = ASHLAR_NVML(nvml_, nvmlGpuInstanceGetComputeInstanceById, handle, id, &compute);
      if (result == NVML_ERROR_NOT_FOUND) continue;
      if (result == NVML_SUCCESS) result = ASHLAR_NVML(nvml_, nvmlComputeInstanceDestroy, compute);
      if (result != NVML_SUCCESS) return Failure("nvmlComputeInstanceDestroy", result);
    }
    result = ASHLAR_NVML(nvml_, nvmlGpuInstanceDestroy, handle);
    if (result != NVML_SUCCESS) return Failure("nvmlGpuInstanceDestroy", result);
    return {};
  }

 private:
  std::string Said(absl::string_view function, nvmlReturn_t result) const {
    return absl::StrCat(function, ": ", nvml_.Words(result));
  }
  pb::GpuChangeAnswer Failure(absl::string_view function, nvmlReturn_t result) const {
    return No(ReasonOf(result), Said(function, result));
  }
  const MigInstance* Find(int32_t id) const {
    for (const MigInstance& instance : mig_.instances())
      if (instance.id() == id) return &instance;
    return nullptr;
  }
  nvmlReturn_t Handle(const MigInstance& instance, nvmlGpuInstance_t& handle) const {
    return ASHLAR_NVML(nvml_, nvmlDeviceGetGpuInstanceById, device_,
                       static_cast<unsigned>(instance.id()), &handle);
  }
  // Asks the driver anew: what was read may be less than there is if a call failed.
  nvmlReturn_t FindMeant(const pb::RemoveGpuInstance& wanted, nvmlGpuInstance_t& handle,
                         bool& there) const {
    for (const MigProfile& profile : mig_.profiles()) {
      if (profile.name() != wanted.place().profile()) continue;
      std::vector<nvmlGpuInstance_t> all(static_cast<size_t>(std::max(profile.max_instances(), 1)));
      unsigned count = 0;
      nvmlReturn_t result = ASHLAR_NVML(nvml_, nvmlDeviceGetGpuInstances, device_,
                                        static_cast<unsigned>(profile.id()), all.data(), &count);
      for (unsigned i = 0; result == NVML_SUCCESS && i < count; ++i) {
        nvmlGpuInstanceInfo_t info{};
        result = ASHLAR_NVML(nvml_, nvmlGpuInstanceGetInfo, all[i], &info);
        if (result != NVML_SUCCESS || !IsMeant(info, wanted)) continue;
        handle = all[i];
        there = true;
      }
      return result;
    }
    return NVML_ERROR_UNKNOWN;
  }
  bool IsMeant(const nvmlGpuInstanceInfo_t& info, const pb::RemoveGpuInstance& wanted) const {
    const int32_t id = static_cast<int32_t>(info.id);
    if (static_cast<int32_t>(info.placement.start) != wanted.place().start() ||
        static_cast<int32_t>(info.placement.size) != wanted.place().size() ||
        (wanted.has_instance() && wanted.instance() != id))
      return false;
    const MigInstance* seen = Find(id);
    if (seen == nullptr || seen->devices_size() == 0) return true;
    return wanted.has_instance() &&
           (wanted.mig_device().empty() || seen->devices(0).uuid() == wanted.mig_device());
  }

  const Nvml& nvml_;
  const nvmlDevice_t device_;
  const Mig mig_;
};

pb::GpuChangeAnswer Failure(const Nvml& nvml, absl::string_view function, nvmlReturn_t result) {
  return No(ReasonOf(result), absl::StrCat(function, ": ", nvml.Words(result)));
}

std::string Watts(unsigned milliwatts) { return absl::StrCat((milliwatts + 500) / 1000, " W"); }

// Whether the GPU takes the limit.
pb::GpuChangeAnswer CheckPower(const Nvml& nvml, nvmlDevice_t device, unsigned milliwatts) {
  unsigned least = 0, most = 0;
  const nvmlReturn_t result =
      ASHLAR_NVML(nvml, nvmlDeviceGetPowerManagementLimitConstraints, device, &least, &most);
  if (result != NVML_SUCCESS)
    return Failure(nvml, "nvmlDeviceGetPowerManagementLimitConstraints", result);
  if (milliwatts >= least && milliwatts <= most) return {};
  return No("BadRequest",
            absl::StrCat("a power limit of ", Watts(milliwatts),
                         " is asked for, and the GPU takes ", Watts(least), " to ", Watts(most)));
}

pb::GpuChangeAnswer ReadPower(const Nvml& nvml, nvmlDevice_t device, unsigned wanted) {
  if (wanted > 0) {
    pb::GpuChangeAnswer refused = CheckPower(nvml, device, wanted);
    if (!refused.reason().empty()) return refused;
  }
  unsigned limit = 0;
  const nvmlReturn_t result = ASHLAR_NVML(nvml, nvmlDeviceGetPowerManagementLimit, device, &limit);
  if (result != NVML_SUCCESS) return Failure(nvml, "nvmlDeviceGetPowerManagementLimit", result);
  pb::GpuChangeAnswer answer;
  answer.set_power_milliwatts(limit);
  return answer;
}

pb::GpuChangeAnswer SetPower(const Nvml& nvml, nvmlDevice_t device, unsigned milliwatts) {
  pb::GpuChangeAnswer refused = CheckPower(nvml, device, milliwatts);
  if (!refused.reason().empty()) return refused;
  unsigned limit = 0;
  nvmlReturn_t result = ASHLAR_NVML(nvml, nvmlDeviceGetPowerManagementLimit, device, &limit);
  if (result == NVML_SUCCESS && limit == milliwatts) return {};
  result = ASHLAR_NVML(nvml, nvmlDeviceSetPowerManagementLimit, device, milliwatts);
  if (result != NVML_SUCCESS) return Failure(nvml, "nvmlDeviceSetPowerManagementLimit", result);
  return {};
}

pb::GpuChangeAnswer Step(const Nvml& nvml, const pb::ChangeGpu& change) {
  nvmlDevice_t device{};
  const nvmlReturn_t result =
      ASHLAR_NVML(nvml, nvmlDeviceGetHandleByUUID, change.gpu().c_str(), &device);
  if (result != NVML_SUCCESS)
    return No(ReasonOf(result), absl::StrCat("nvmlDeviceGetHandleByUUID: ", nvml.Words(result)));
  if (change.has_read_power())
    return ReadPower(nvml, device, change.read_power().wanted_milliwatts());
  if (change.has_set_power()) return SetPower(nvml, device, change.set_power().milliwatts());
  std::optional<Mig> mig = ReadMig(nvml, device);
  if (!mig) {
    unsigned current = 0, pending = 0;
    const nvmlReturn_t why = ASHLAR_NVML(nvml, nvmlDeviceGetMigMode, device, &current, &pending);
    return No(ReasonOf(why), absl::StrCat("nvmlDeviceGetMigMode: ", nvml.Words(why)));
  }
  const Steps steps(nvml, device, *std::move(mig));
  switch (change.what_case()) {
    case pb::ChangeGpu::kRead:
      return steps.Read();
    case pb::ChangeGpu::kMode:
      return steps.SetMode(change.mode().enabled());
    case pb::ChangeGpu::kMake:
      return steps.Make(change.make().place());
    case pb::ChangeGpu::kMakeCompute:
      return steps.MakeCompute(change.make_compute());
    case pb::ChangeGpu::kRemove:
      return steps.Remove(change.remove());
    default:
      break;
  }
  return No("BadRequest", "the request asks for nothing");
}

}  // namespace

pb::GpuChangeAnswer GpuChanger::Change(const Nvml& nvml, const pb::ChangeGpu& change) const {
  const absl::StatusOr<sys::UniqueFd> lock =
      sys::OpenFile(change.lock(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (!lock.ok()) return No("Failed", lock.status().message());
  if (flock(lock->get(), LOCK_EX | LOCK_NB) != 0)
    return No("Busy",
              "an earlier process is still in a call of the driver; if it stays there, the GPU or "
              "its driver hangs and the node must be restarted");
  // An agent that began anew must find what this one's left; so nothing may be done after its end.
  if (getppid() != asker_) return No("Failed", "whoever asked is gone");
  return Step(nvml, change);
}

}  // namespace ashlar::node_agent
