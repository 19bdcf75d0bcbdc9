// GpuChanger: the steps of dividing a GPU, as the process that calls the driver makes them. Each
// looks first whether the GPU is as whoever asks believes. Used by one thread.
#pragma once

#include <unistd.h>

#include "ashlar/agent/v1/gpu_helper.pb.h"
#include "node-agent/gpu/nvml_library.h"

namespace ashlar::node_agent {

class GpuChanger {
 public:
  // Made while whoever asks is alive.
  GpuChanger() : asker_(getppid()) {}
  // One step, under the lock that the request names. All that can go wrong is in the answer.
  agent::v1::GpuChangeAnswer Change(const Nvml& nvml, const agent::v1::ChangeGpu& change) const;

 private:
  const pid_t asker_;
};

}  // namespace ashlar::node_agent
