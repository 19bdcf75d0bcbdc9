// How a GPU is divided, and how it could be.
#pragma once

#include <optional>

#include "ashlar/v1alpha1/gpu.pb.h"
#include "node-agent/gpu/nvml_library.h"

namespace ashlar::node_agent {

// Nothing: the GPU cannot be divided. Instances are listed whoever made them.
std::optional<v1alpha1::Mig> ReadMig(const Nvml& nvml, nvmlDevice_t device);

}  // namespace ashlar::node_agent
