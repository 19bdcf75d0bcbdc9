#include "node-agent/gpu/gpu_helper.h"

#include <iostream>
#include <map>
#include <optional>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "ashlar/agent/v1/gpu_helper.pb.h"
#include "lib/base/status_macros.h"
#include "lib/system/helper_process.h"
#include "node-agent/gpu/gpu_reader.h"
#include "node-agent/gpu/partition/gpu_changer.h"

namespace ashlar::node_agent {
namespace {

namespace pb = agent::v1;

// What concerns placement or health. Not clocks and states of power, which change all the time, nor
// single errors that were corrected: those are counted, and a storm of them is told.
constexpr unsigned long long kEvents =
    nvmlEventTypeDoubleBitEccError | nvmlEventTypeXidCriticalError | nvmlEventMigConfigChange |
    nvmlEventTypeSingleBitEccErrorStorm | nvmlEventTypeDramRetirementEvent |
    nvmlEventTypeDramRetirementFailure | nvmlEventTypeNonFatalPoisonError |
    nvmlEventTypeFatalPoisonError | nvmlEventTypeGpuUnavailableError |
    nvmlEventTypeGpuRecoveryAction;

v1alpha1::GpuDriver NotReady(const char* state, absl::string_view message) {
  v1alpha1::GpuDriver driver;
  driver.set_state(state);
  driver.set_message(std::string(message));
  return driver;
}

class Helper {
 public:
  explicit Helper(sys::HelperChannel& channel) : channel_(channel) {}

  pb::GpuHelperAnswer Answer(const pb::GpuHelperRequest& request) {
    pb::GpuHelperAnswer answer;
    if (request.has_open()) return Open(request.open());
    if (!nvml_) {
      *answer.mutable_driver() = NotReady("Failed", "the library was not opened");
    } else if (request.has_read()) {
      Read(static_cast<unsigned>(request.read().index()), answer);
    } else if (request.has_await()) {
      Await(static_cast<unsigned>(request.await().milliseconds()), answer);
    } else if (request.has_change()) {
      *answer.mutable_change() = changer_.Change(*nvml_, request.change());
    }
    return answer;
  }

 private:
  pb::GpuHelperAnswer Open(const pb::OpenGpus& open) {
    pb::GpuHelperAnswer answer;
    if (!nvml_) {
      absl::StatusOr<Nvml> nvml =
          Nvml::Load({open.libraries().begin(), open.libraries().end()},
                     [this](absl::string_view function) { channel_.Say(function); });
      if (!nvml.ok()) {
        const bool none = absl::IsNotFound(nvml.status());
        *answer.mutable_driver() = NotReady(none ? "NoLibrary" : "Failed", nvml.status().message());
        return answer;
      }
      nvml_.emplace(*std::move(nvml));
      if (const nvmlReturn_t result = ASHLAR_NVML(*nvml_, nvmlInit_v2); result != NVML_SUCCESS) {
        // Where the module is there without a GPU, the driver says that it found none.
        const bool none = result == NVML_ERROR_DRIVER_NOT_LOADED ||
                          result == NVML_ERROR_LIBRARY_NOT_FOUND ||
                          result == NVML_ERROR_GPU_NOT_FOUND;
        *answer.mutable_driver() = NotReady(none ? "NoDriver" : "Failed",
                                            absl::StrCat("nvmlInit_v2: ", nvml_->Words(result)));
        nvml_.reset();
        return answer;
      }
    }
    unsigned count = 0;
    const nvmlReturn_t result = ASHLAR_NVML(*nvml_, nvmlDeviceGetCount_v2, &count);
    if (result != NVML_SUCCESS) {
      *answer.mutable_driver() =
          NotReady("Failed", absl::StrCat("nvmlDeviceGetCount_v2: ", nvml_->Words(result)));
      return answer;
    }
    *answer.mutable_driver() = GpuReader(*nvml_).Driver();
    answer.set_count(static_cast<int32_t>(count));
    if (!open.deaf()) Listen(count);
    return answer;
  }

  // To all GPUs that answer, in a set of their own: one that is gone spoils the set.
  void Listen(unsigned count) {
    if (listening_) ASHLAR_NVML(*nvml_, nvmlEventSetFree, events_);
    listening_ = ASHLAR_NVML(*nvml_, nvmlEventSetCreate, &events_) == NVML_SUCCESS;
    uuids_.clear();
    for (unsigned index = 0; listening_ && index < count; ++index) {
      nvmlDevice_t device{};
      unsigned long long supported = 0;
      char uuid[NVML_DEVICE_UUID_V2_BUFFER_SIZE] = "";
      if (ASHLAR_NVML(*nvml_, nvmlDeviceGetHandleByIndex_v2, index, &device) == NVML_SUCCESS &&
          ASHLAR_NVML(*nvml_, nvmlDeviceGetUUID, device, uuid, sizeof uuid) == NVML_SUCCESS &&
          ASHLAR_NVML(*nvml_, nvmlDeviceGetSupportedEventTypes, device, &supported) ==
              NVML_SUCCESS) {
        ASHLAR_NVML(*nvml_, nvmlDeviceRegisterEvents, device, supported & kEvents, events_);
        uuids_[device.handle] = uuid;
      }
    }
  }

  void Read(unsigned index, pb::GpuHelperAnswer& answer) {
    absl::StatusOr<v1alpha1::Gpu> gpu = GpuReader(*nvml_).Read(index);
    if (gpu.ok())
      *answer.mutable_gpu() = *std::move(gpu);
    else
      answer.mutable_gpu()->mutable_health()->set_problem(std::string(gpu.status().message()));
  }

  void Await(unsigned milliseconds, pb::GpuHelperAnswer& answer) {
    nvmlEventData_t event;
    if (!listening_) return absl::SleepFor(absl::Milliseconds(milliseconds));
    nvmlReturn_t result = ASHLAR_NVML(*nvml_, nvmlEventSetWait_v2, events_, &event, milliseconds);
    // They come in crowds.
    for (; result == NVML_SUCCESS && answer.events_size() < 64;
         result = ASHLAR_NVML(*nvml_, nvmlEventSetWait_v2, events_, &event, 0u)) {
      pb::GpuEvent& out = *answer.add_events();
      out.set_uuid(uuids_[event.device.handle]);
      out.set_type(event.eventType);
      out.set_data(event.eventData);
      out.set_instance(event.gpuInstanceId);
    }
    answer.set_listening_ended(result != NVML_SUCCESS && result != NVML_ERROR_TIMEOUT);
  }

  sys::HelperChannel& channel_;
  const GpuChanger changer_;
  std::optional<Nvml> nvml_;
  nvmlEventSet_t events_{};
  bool listening_ = false;
  std::map<const void*, std::string>
      uuids_;  // of those that are listened to; a lost one tells none
};

absl::Status Serve() {
  ASHLAR_ASSIGN_OR_RETURN(sys::HelperChannel channel, sys::HelperChannel::Inherited());
  Helper helper(channel);
  for (;;) {
    const absl::StatusOr<std::string> bytes = channel.Receive();
    if (absl::IsOutOfRange(bytes.status())) return absl::OkStatus();
    ASHLAR_RETURN_IF_ERROR(bytes.status());
    pb::GpuHelperRequest request;
    if (!request.ParseFromString(*bytes)) return absl::InternalError("a request is no request");
    ASHLAR_RETURN_IF_ERROR(channel.Send(helper.Answer(request).SerializeAsString()));
  }
}

}  // namespace

int RunGpuHelper() {
  // It is the agent's program, started as /proc/self/exe, of which the kernel makes "exe".
  sys::NameThisProcess("ashlar-gpu");
  const absl::Status served = Serve();
  if (served.ok()) return 0;
  std::cerr << "gpu-helper: " << served.message() << "\n";
  return 1;
}

}  // namespace ashlar::node_agent
