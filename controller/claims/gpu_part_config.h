// GpuPartConfig: what a claim (or the DeviceClass) may say of parts of GPUs of gpu.ashlar.dev, as
// opaque parameters:
//
//   apiVersion: ashlar.dev/v1alpha1
//   kind: GPUPartConfig
//   keepSeconds: 600       # after the claim's end the part is kept so long for the next one that
//                          # wants the same; 0 to 604800, unset: 0
//
// Pure.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "lib/base/json.h"

namespace ashlar::controller {

struct GpuPartConfig {
  int64_t keep_seconds = 0;
};

// InvalidArgument names the field, the value and what is accepted. Empty text: the defaults.
absl::StatusOr<GpuPartConfig> ParseGpuPartConfig(const std::string& text);
Json ToJson(const GpuPartConfig& config);

}  // namespace ashlar::controller
