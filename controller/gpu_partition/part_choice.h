// Which parts of which GPUs a GPUPartition gets. Pure.
#pragma once

#include <string>
#include <variant>
#include <vector>

#include "ashlar/v1alpha1/gpu_partition.pb.h"
#include "controller/gpu_partition/gpu_stock.h"

namespace ashlar::controller {

struct NoParts {
  std::string reason;  // NoNodes, NoSuchProfile or NoRoom
  std::string message;
};
using PartChoice = std::variant<std::vector<v1alpha1::GPUPartitionAllocation>, NoParts>;

PartChoice ChooseParts(const GpuStock& stock, const v1alpha1::GPUPartitionSpec& spec);

}  // namespace ashlar::controller
