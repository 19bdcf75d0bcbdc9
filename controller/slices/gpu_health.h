// What is wrong with a GPU by what its driver told, for taints and for people. Pure.
#pragma once

#include <string>

#include "absl/time/time.h"
#include "ashlar/v1alpha1/gpu.pb.h"

namespace ashlar::controller {

struct SevereXid {
  int64_t code = 0;                           // 0: there is none
  absl::Time until = absl::InfiniteFuture();  // when it counts no more without being told
};

// The last error of the GPU itself, not of a program on it, that counts now. What the driver asks
// for tells more: then none does.
SevereXid SevereXidOf(const v1alpha1::GpuHealth& health, absl::Time now);

// What its owner must know but for XIDs, such as "needs Reset"; empty: nothing.
std::string GpuProblem(const v1alpha1::Gpu& gpu);

}  // namespace ashlar::controller
