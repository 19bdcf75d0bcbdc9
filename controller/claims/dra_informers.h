// DraInformers: the caches of what Dynamic Resource Allocation (resource.k8s.io/v1) is about.
#pragma once

#include <vector>

#include "lib/base/clock.h"
#include "lib/kube/client.h"
#include "lib/runtime/informer.h"

namespace ashlar::controller {

struct DraInformers {
  DraInformers(kube::Client& client, Clock& clock);

  runtime::Informer claims;
  runtime::Informer nvme_slices;    // of nvme.ashlar.dev
  runtime::Informer gpu_slices;     // of gpu.ashlar.dev
  runtime::Informer nvidia_slices;  // of gpu.nvidia.com

  std::vector<runtime::Informer*> all() {
    return {&claims, &nvme_slices, &gpu_slices, &nvidia_slices};
  }
};

// Whether the API server has resource.k8s.io/v1 and lets us read it; asks until it answers or the
// context ends (Cancelled, DeadlineExceeded). What is missing is logged.
absl::StatusOr<bool> ServesDra(const CallContext& context, kube::Client& client, Clock& clock);

}  // namespace ashlar::controller
