#include "node-agent/claims/claim_gpus.h"

#include <algorithm>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "lib/base/log.h"
#include "lib/base/status_macros.h"
#include "lib/system/files.h"

namespace ashlar::node_agent {
namespace {

// Of all GPUs; those that there are.
constexpr const char* kSharedNodes[] = {"/dev/nvidiactl", "/dev/nvidia-uvm",
                                        "/dev/nvidia-uvm-tools"};

// Where the container toolkit looks for mounts that name GPUs (its option
// accept-nvidia-visible-devices-as-volume-mounts).
constexpr char kVisibleMounts[] = "/var/run/nvidia-container-devices/";

void NameByMount(const std::string& uuid, CdiDevice& device) {
  device.mounts.push_back({"/dev/null", kVisibleMounts + uuid, true});
}

const v1alpha1::Gpu* FindGpu(const GpuReport& report, const std::string& uuid) {
  const auto found = std::find_if(report.gpus.begin(), report.gpus.end(),
                                  [&](const v1alpha1::Gpu& gpu) { return gpu.uuid() == uuid; });
  return found == report.gpus.end() ? nullptr : &*found;
}

}  // namespace

std::string GpuProblem(const GpuReport& report, const std::string& uuid) {
  const v1alpha1::Gpu* gpu = FindGpu(report, uuid);
  const v1alpha1::GpuDriver& driver = report.driver;
  if (driver.state().empty()) return "the GPUs have not been looked at yet";
  if (driver.state() != "Ready")
    return absl::StrCat("the GPUs' driver is ", driver.state(), ": ", driver.message());
  if (gpu == nullptr) return absl::StrCat("GPU ", uuid, " is not on this node");
  const v1alpha1::GpuHealth& health = gpu->health();
  if (!health.problem().empty()) return absl::StrCat("GPU ", uuid, ": ", health.problem());
  if (!health.recovery_action().empty() && health.recovery_action() != "None")
    return absl::StrCat("GPU ", uuid, ": its driver asks for ", health.recovery_action());
  if (health.row_remap_failed())
    return absl::StrCat("GPU ", uuid, ": a row of its memory could not be replaced");
  return "";
}

bool ClaimGpus::GiveNode(const std::string& node, CdiDevice& device) const {
  if (!sys::Exists(root_ + node)) return false;
  device.nodes.push_back({node, root_.empty() ? "" : root_ + node});
  return true;
}

absl::Status ClaimGpus::GiveGpu(const std::string& uuid, CdiDevice& device, int& minor) const {
  const std::shared_ptr<const GpuReport> report = latest_();
  if (const std::string problem = GpuProblem(*report, uuid); !problem.empty())
    return absl::FailedPreconditionError(problem);
  minor = FindGpu(*report, uuid)->minor();
  const std::string own = absl::StrCat("/dev/nvidia", minor);
  if (!GiveNode(own, device))
    return absl::FailedPreconditionError(
        absl::StrCat("GPU ", uuid, " has no device node: there is no ", own));
  for (const char* node : kSharedNodes) GiveNode(node, device);
  return absl::OkStatus();
}

absl::Status ClaimGpus::Give(const ClaimGpu& gpu, CdiDevice& device) const {
  int minor = 0;
  ASHLAR_RETURN_IF_ERROR(GiveGpu(gpu.uuid, device, minor));
  NameByMount(gpu.uuid, device);
  return absl::OkStatus();
}

absl::Status ClaimGpus::GiveCapability(const std::string& access, CdiDevice& device) const {
  ASHLAR_ASSIGN_OR_RETURN(const std::string text, sys::ReadFile(root_ + access));
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    int minor = 0;
    if (!absl::ConsumePrefix(&line, "DeviceFileMinor:") || !absl::SimpleAtoi(line, &minor))
      continue;
    const std::string node = absl::StrCat("/dev/nvidia-caps/nvidia-cap", minor);
    if (GiveNode(node, device)) return absl::OkStatus();
    return absl::FailedPreconditionError(
        absl::StrCat("there is no ", node, ", which ", access, " names"));
  }
  return absl::InternalError(absl::StrCat(access, " names no device node"));
}

absl::StatusOr<std::string> ClaimGpus::Make(const CallContext& context, const std::string& claim,
                                            const ClaimGpuPartition& part,
                                            CdiDevice& device) const {
  int minor = 0;
  ASHLAR_RETURN_IF_ERROR(GiveGpu(part.gpu, device, minor));
  ASHLAR_ASSIGN_OR_RETURN(const GpuPartition made,
                          parts_.Ensure(context, claim,
                                        {part.gpu, part.profile, part.start, part.size,
                                         part.keep_seconds, part.power_watts}));
  // As the driver's own documentation has it: both are needed, that of the GPU instance and that of
  // the compute instance in it.
  const std::string instance =
      absl::StrCat("/proc/driver/nvidia/capabilities/gpu", minor, "/mig/gi", made.gpu_instance);
  ASHLAR_RETURN_IF_ERROR(GiveCapability(instance + "/access", device));
  ASHLAR_RETURN_IF_ERROR(
      GiveCapability(absl::StrCat(instance, "/ci", made.compute_instance, "/access"), device));
  NameByMount(made.mig_device, device);
  return made.mig_device;
}

absl::Status ClaimGpus::Release(const CallContext& context, const std::string& claim) const {
  return parts_.Release(context, claim);
}

void ClaimGpus::Sweep(const CallContext& context, const std::set<std::string>& keep) const {
  for (const GpuPartition& part : parts_.List()) {
    if (part.claim.empty() || keep.count(part.claim) > 0) continue;
    const absl::Status gone = Release(context, part.claim);
    LogInfo("a part of a GPU is taken from a claim that is gone",
            {{"claim", part.claim}, {"gpu", part.gpu}, {"result", gone.ToString()}});
  }
}

std::string ClaimGpus::Problem(const ClaimGpu& gpu) const {
  return GpuProblem(*latest_(), gpu.uuid);
}

std::string ClaimGpus::Problem(const std::string& claim, const ClaimGpuPartition& part,
                               std::string& mig_device) const {
  std::string problem = GpuProblem(*latest_(), part.gpu);
  for (const GpuPartition& made : parts_.List()) {
    if (made.claim != claim || made.gpu != part.gpu || made.start != part.start) continue;
    mig_device = made.mig_device;
    if (problem.empty()) problem = made.problem;
  }
  return problem;
}

}  // namespace ashlar::node_agent
