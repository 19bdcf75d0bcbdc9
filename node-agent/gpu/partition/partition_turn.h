// The turn of GpuPartitions, for its own files.
#pragma once

#include "lib/base/status_macros.h"
#include "node-agent/gpu/partition/gpu_partitions.h"

namespace ashlar::node_agent {

class GpuPartitions::Turn {
 public:
  explicit Turn(GpuPartitions& parts) : parts_(parts) {}
  ~Turn() {
    if (!has_) return;
    MutexLock lock(parts_.mu_);
    parts_.taken_ = false;
    parts_.changed_.NotifyAll();
  }
  absl::Status Await(const CallContext& context) {
    const std::stop_callback wake(context.stop, [this] { Wake(); });
    const std::stop_callback wake_too(parts_.stop_.get_token(), [this] { Wake(); });
    MutexLock lock(parts_.mu_);
    for (;;) {
      ASHLAR_RETURN_IF_ERROR(CheckContext(parts_.clock_, context));
      if (parts_.stop_.stop_requested()) return absl::CancelledError("the agent ends");
      if (!parts_.taken_) break;
      parts_.clock_.WaitUntil(parts_.changed_, parts_.mu_, context.deadline);
    }
    parts_.taken_ = has_ = true;
    return absl::OkStatus();
  }

 private:
  void Wake() {
    MutexLock lock(parts_.mu_);
    parts_.changed_.NotifyAll();
  }
  GpuPartitions& parts_;
  bool has_ = false;
};

}  // namespace ashlar::node_agent
