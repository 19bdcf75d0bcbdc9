// WholeDriveMedium: a pool of the matching drives that are proven free, and of those that are its
// volumes. Free is a drive whose first and last MiB are zero, besides all else. The medium writes
// to no drive but to wipe it (drive_wipe.h): a volume is claimed when it is made
// (whole_drive_backend.h).
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
  // Of a drive that matches: finishes its busy_reason, which wiping may take away.
  absl::Status LookAt(PoolRecord& record, SavePoolRecord save, Drive& drive);
  // Why the drive is not taken, as a part of a sentence.
  std::string WhyNot(const PoolRecord& record, const Drive& drive);

  const PoolEnvironment& env_;
  const std::shared_ptr<WholeDriveBackend> backend_;
};

}  // namespace ashlar::node_agent
