// WholeDriveMedium: a pool of the matching drives that are proven free, and of those that are its
// volumes. It writes to no drive: a volume is claimed when it is made (whole_drive_backend.h).
#pragma once

#include "node-agent/storage/pool_medium.h"
#include "node-agent/storage/wholedrive/whole_drive_backend.h"

namespace ashlar::node_agent {

class WholeDriveMedium final : public PoolMedium {
 public:
  WholeDriveMedium(const PoolEnvironment& env, const PoolSpec& spec);

  absl::StatusOr<OpenedPool> Open(const CallContext& context, PoolRecord& record,
                                  SavePoolRecord save) override;
  absl::Status Close(const CallContext&, const PoolRecord&) override { return absl::OkStatus(); }
  bool Carries(const Drive& drive) const override;

 private:
  const PoolEnvironment& env_;
  const std::shared_ptr<WholeDriveBackend> backend_;
};

}  // namespace ashlar::node_agent
