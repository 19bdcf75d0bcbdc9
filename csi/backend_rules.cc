#include "csi/backend_rules.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "lib/base/status_macros.h"

namespace ashlar::csi_driver {
namespace {

std::string BackendOf(const Json& pool) { return JsonString(pool, {"spec", "backend"}); }

bool AnyLimit(const v1alpha1::VolumeLimits& limits) {
  return limits.read_iops() > 0 || limits.write_iops() > 0 || limits.read_bytes_per_second() > 0 ||
         limits.write_bytes_per_second() > 0;
}

}  // namespace

const char* DefaultFsType(absl::string_view backend) {
  return backend == "Directory" ? "" : "ext4";
}

absl::Status CheckLimits(const Json& pool, const MutableParameters& attributes) {
  if (BackendOf(pool) != "Directory" || !AnyLimit(attributes.limits)) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "mutable_parameters: pool ", JsonString(pool, {"metadata", "name"}),
      " has the backend Directory, whose volumes have no block device of their own; limits can't "
      "be kept"));
}

absl::Status CheckGpuDirect(const Json& pool, const CreateVolumePlan& plan) {
  const std::string& wish = plan.parameters.gpu_direct;
  if (wish.empty()) return absl::OkStatus();
  const std::string backend = BackendOf(pool);
  if (backend != "Partition" && backend != "Namespace" && backend != "WholeDrive")
    return absl::InvalidArgumentError(absl::StrCat(
        "parameters[gpuDirect] '", wish, "': pool ", JsonString(pool, {"metadata", "name"}),
        " has the backend ", backend.empty() ? "File" : backend,
        ", which puts something between filesystem and drive; accepted: Partition, Namespace, "
        "WholeDrive"));
  if (plan.access.block || plan.fs_type != "ext4") return absl::OkStatus();
  const auto& flags = plan.access.mount_flags;
  if (std::count(flags.begin(), flags.end(), "data=ordered") > 0) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("parameters[gpuDirect] '", wish,
                   "': ext4 needs data=ordered among the mountOptions of the StorageClass, for "
                   "cuFile looks for it; xfs needs none"));
}

absl::Status FitBackend(const Json& pool, const csi::v1::CreateVolumeRequest& request,
                        CreateVolumePlan& plan) {
  ASHLAR_RETURN_IF_ERROR(CheckLimits(pool, plan.attributes));
  if (!plan.fs_type_given && !plan.access.block) {
    plan.fs_type = DefaultFsType(BackendOf(pool));
    ASHLAR_ASSIGN_OR_RETURN(plan.size, ReadSize(request.capacity_range(), plan.fs_type));
  }
  return CheckGpuDirect(pool, plan);
}

}  // namespace ashlar::csi_driver
