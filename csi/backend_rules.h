// What the volumes of a pool can be by its backend, as far as it must be known before any node is
// asked; the agents check it again. Pure.
#pragma once

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "csi/request_validation.h"
#include "lib/base/json.h"

namespace ashlar::csi_driver {

// The filesystem that the backend makes where nobody names one. Empty: that of the filesystem that
// the pool lies on, which the node knows.
const char* DefaultFsType(absl::string_view backend);

// InvalidArgument names pool and backend if the backend's volumes can't be held to limits.
absl::Status CheckLimits(const Json& pool, const MutableParameters& attributes);

// InvalidArgument names the parameter if GPUDirect Storage cannot work on volumes as the plan wants
// them.
absl::Status CheckGpuDirect(const Json& pool, const CreateVolumePlan& plan);

// Fills in what the plan leaves to the backend of its pool, and checks the plan against it.
// InvalidArgument, OutOfRange: as ReadCreateVolume.
absl::Status FitBackend(const Json& pool, const csi::v1::CreateVolumeRequest& request,
                        CreateVolumePlan& plan);

}  // namespace ashlar::csi_driver
