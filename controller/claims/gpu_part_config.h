// GpuPartConfig: what a claim (or the DeviceClass) may say of parts of GPUs of gpu.ashlar.dev, as
// opaque parameters:
//
//   apiVersion: ashlar.dev/v1alpha1
//   kind: GPUPartConfig
//   keepSeconds: 600       # after the claim's end the part is kept so long for the next one that
//                          # wants the same; 0 to 604800, unset: 0
//   powerWatts: 400        # what its GPU may draw while the claim has the part (decision 0027); 1
//                          # to 10000, unset: what it may without it
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
  int power_watts = 0;  // 0: unset
};

// InvalidArgument names the field, the value and what is accepted. Empty text: the defaults.
absl::StatusOr<GpuPartConfig> ParseGpuPartConfig(const std::string& text);
Json ToJson(const GpuPartConfig& config);

}  // namespace ashlar::controller
