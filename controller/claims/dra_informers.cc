#include "controller/claims/dra_informers.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "ashlar/k8s/resource.codec.h"
#include "controller/dra_names/device_names.h"
#include "controller/dra_names/drive_names.h"
#include "lib/base/log.h"
#include "lib/base/mutex.h"

namespace ashlar::controller {
namespace {

constexpr absl::Duration kAskAgain = absl::Seconds(1);

runtime::InformerOptions OfDriver(const char* driver) {
  return {.field_selector = absl::StrCat("spec.driver=", driver)};
}

void Pause(const CallContext& context, Clock& clock) {
  Mutex mu;
  CondVar stopped;
  std::stop_callback wake(context.stop, [&] {
    MutexLock lock(mu);
    stopped.NotifyAll();
  });
  const absl::Time end = clock.Now() + kAskAgain;
  MutexLock lock(mu);
  while (!context.stop.stop_requested() && clock.Now() < end) clock.WaitUntil(stopped, mu, end);
}

bool HasDevice(const k8s::ResourceSlice& slice, const std::string& device) {
  const auto& devices = slice.spec().devices();
  return std::any_of(devices.begin(), devices.end(),
                     [&](const k8s::Device& one) { return one.name() == device; });
}

}  // namespace

const k8s::ResourceSlice* SliceFinder::Find(const std::string& driver, const std::string& pool,
                                            const std::string& device) {
  const runtime::Informer& slices = driver == kGpuDriver ? dra_.gpu_slices : dra_.nvidia_slices;
  for (const runtime::ObjectPtr& object : slices.List()) {
    if (JsonString(*object, {"spec", "pool", "name"}) != pool) continue;
    auto slice = api::FromJson<k8s::ResourceSlice>(*object);
    if (slice.ok() && HasDevice(*slice, device)) return &found_.emplace_back(*std::move(slice));
  }
  return nullptr;
}

DraInformers::DraInformers(kube::Client& client, Clock& clock)
    : claims(client, api::Kind<k8s::ResourceClaim>(), clock),
      nvme_slices(client, api::Kind<k8s::ResourceSlice>(), clock, OfDriver(kNvmeDriver)),
      gpu_slices(client, api::Kind<k8s::ResourceSlice>(), clock, OfDriver(kGpuDriver)),
      nvidia_slices(client, api::Kind<k8s::ResourceSlice>(), clock, OfDriver("gpu.nvidia.com")) {}

absl::StatusOr<bool> ServesDra(const CallContext& context, kube::Client& client, Clock& clock) {
  for (;;) {
    const absl::Status status = client
                                    .List(context, api::Kind<k8s::ResourceSlice>(),
                                          {.field_selector = "metadata.name=none"})
                                    .status();
    if (status.ok()) return true;
    if (absl::IsNotFound(status) || absl::IsPermissionDenied(status)) {
      LogInfo("no devices are published for claims (DRA)", {{"reason", status.ToString()}});
      return false;
    }
    if (context.stop.stop_requested() || absl::IsCancelled(status) ||
        absl::IsDeadlineExceeded(status))
      return status;
    Pause(context, clock);
  }
}

}  // namespace ashlar::controller
