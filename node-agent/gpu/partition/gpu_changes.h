// GpuChanges: the steps of dividing GPUs, whoever makes them. SessionGpuChanges has them made by
// the process that calls the driver. Used by one thread at a time.
#pragma once

#include <string>

#include "node-agent/gpu/gpu_session.h"

namespace ashlar::node_agent {

// Reasons beside those of GpuChangeAnswer, of a step of which it is not known whether it was done,
// or will be: the driver hung, failed, or is not there.
inline constexpr char kDriverHung[] = "DriverHung";
inline constexpr char kDriverFailed[] = "DriverFailed";
inline constexpr char kNoDriver[] = "NoDriver";

class GpuChanges {
 public:
  virtual ~GpuChanges() = default;
  // One step. All that can go wrong is in the answer.
  virtual agent::v1::GpuChangeAnswer Make(const CallContext& context,
                                          agent::v1::ChangeGpu change) = 0;
  // Nothing is asked for some time: lets go of the driver.
  virtual void Rest() = 0;
};

class SessionGpuChanges final : public GpuChanges {
 public:
  // Locks lie in `lock_directory`, which is there.
  SessionGpuChanges(GpuSessionOptions options, std::string lock_directory, Clock& clock);
  agent::v1::GpuChangeAnswer Make(const CallContext& context, agent::v1::ChangeGpu change) override;
  void Rest() override { session_.Close(); }

 private:
  agent::v1::GpuChangeAnswer Trouble() const;
  const std::string lock_directory_;
  Clock& clock_;
  GpuSession session_;
};

}  // namespace ashlar::node_agent
