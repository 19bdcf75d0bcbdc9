#include "node-agent/near/pod_devices.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace ashlar::node_agent {
namespace {

constexpr char kNvidiaDriver[] = "gpu.nvidia.com", kAshlarDriver[] = "gpu.ashlar.dev";
// How much of a UUID is in names of gpu.ashlar.dev.
constexpr size_t kUuidBegin = 13;

bool IsOfDriver(const PodDevice& device) {
  return device.owner == kNvidiaDriver || device.owner == kAshlarDriver;
}

bool IsOfPlugin(const PodDevice& device) {
  return absl::StartsWith(device.owner, "nvidia.com/gpu") ||
         absl::StartsWith(device.owner, "nvidia.com/mig-");
}

// Without the number of a share, and, of a part as drivers before 470 call it
// (MIG-GPU-UUID/INSTANCE/INSTANCE), the GPU's.
absl::string_view UuidOf(absl::string_view name) {
  name = name.substr(0, name.find("::"));
  if (absl::StartsWith(name, "MIG-GPU-")) {
    absl::ConsumePrefix(&name, "MIG-");
    name = name.substr(0, name.find('/'));
  }
  return name;
}

bool HasUuid(const v1alpha1::Gpu& gpu, absl::string_view uuid) {
  if (gpu.uuid() == uuid) return true;
  for (const v1alpha1::MigInstance& instance : gpu.mig().instances())
    for (const v1alpha1::MigDevice& device : instance.devices())
      if (device.uuid() == uuid) return true;
  return false;
}

// gpu-0, gpu-0-mig-...
bool HasMinor(const v1alpha1::Gpu& gpu, absl::string_view name) {
  int minor;
  if (!absl::ConsumePrefix(&name, "gpu-")) return false;
  return absl::SimpleAtoi(name.substr(0, name.find('-')), &minor) && gpu.has_minor() &&
         gpu.minor() == minor;
}

// As controller/dra_names names them: gpu-7a1f03bc-91d2, mig-7a1f03bc-91d2-3g-40gb-4-4.
bool HasAshlarName(const v1alpha1::Gpu& gpu, absl::string_view name) {
  const std::string lower = absl::AsciiStrToLower(gpu.uuid());
  absl::string_view uuid = lower;
  if (!absl::ConsumePrefix(&uuid, "gpu-")) return false;
  const absl::string_view begin = uuid.substr(0, kUuidBegin);
  return name == absl::StrCat("gpu-", begin) ||
         absl::StartsWith(name, absl::StrCat("mig-", begin, "-"));
}

// By what its driver publishes. A part may be made only later, so its own UUID may be unknown.
bool IsPublishedAs(const PodDevice& device, const v1alpha1::Gpu& gpu) {
  const auto same = [](const std::string& published, const std::string& own) {
    return !published.empty() && absl::EqualsIgnoreCase(published, own);
  };
  return (!device.uuid.empty() && HasUuid(gpu, device.uuid)) ||
         same(device.parent_uuid, gpu.uuid()) || same(device.pci_address, gpu.pci_address());
}

bool IsPartOf(const PodDevice& device, const v1alpha1::Gpu& gpu) {
  if (!device.uuid.empty() || !device.parent_uuid.empty() || !device.pci_address.empty())
    return IsPublishedAs(device, gpu);
  if (device.owner == kNvidiaDriver) return HasMinor(gpu, device.name);
  if (device.owner == kAshlarDriver) return HasAshlarName(gpu, device.name);
  return HasUuid(gpu, UuidOf(device.name));
}

}  // namespace

PodGpus FindGpus(const std::vector<PodDevice>& devices, const std::vector<v1alpha1::Gpu>& gpus) {
  PodGpus found;
  for (const PodDevice& device : devices) {
    const auto gpu = std::find_if(gpus.begin(), gpus.end(),
                                  [&](const v1alpha1::Gpu& one) { return IsPartOf(device, one); });
    if (gpu == gpus.end()) {
      if (IsOfDriver(device) || IsOfPlugin(device))
        found.unknown.push_back(absl::StrCat(device.owner, " ", device.name));
    } else if (std::count(found.uuids.begin(), found.uuids.end(), gpu->uuid()) == 0) {
      found.uuids.push_back(gpu->uuid());
    }
  }
  return found;
}

}  // namespace ashlar::node_agent
