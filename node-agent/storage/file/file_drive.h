// FileDrive: a pool of the File backend on a drive of its own, which is formatted with XFS.
#pragma once

#include "node-agent/storage/file/pool_root.h"
#include "node-agent/storage/filesystem_drive.h"
#include "node-agent/storage/pool_medium.h"

namespace ashlar::node_agent {

class FileDrive final : public PoolMedium {
 public:
  FileDrive(const PoolEnvironment& env, const PoolSpec& spec);

  absl::StatusOr<OpenedPool> Open(const CallContext& context, PoolRecord& record,
                                  SavePoolRecord save) override;
  absl::Status Close(const CallContext& context, const PoolRecord& record) override;
  bool Carries(const Drive& drive) const override { return drive_.Carries(drive); }

 private:
  FilesystemDrive drive_;
  PoolRoot root_;
};

}  // namespace ashlar::node_agent
