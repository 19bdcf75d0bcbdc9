#include "csi/backend_rules.h"

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

absl::Status FitBackend(const Json& pool, const csi::v1::CreateVolumeRequest& request,
                        CreateVolumePlan& plan) {
  ASHLAR_RETURN_IF_ERROR(CheckLimits(pool, plan.attributes));
  if (plan.fs_type_given || plan.access.block) return absl::OkStatus();
  plan.fs_type = DefaultFsType(BackendOf(pool));
  ASHLAR_ASSIGN_OR_RETURN(plan.size, ReadSize(request.capacity_range(), plan.fs_type));
  return absl::OkStatus();
}

}  // namespace ashlar::csi_driver
