// DirectoryMedium: a pool of the backend Directory in a directory of the node, on a btrfs
// filesystem that others may share.
#pragma once

#include "node-agent/storage/directory/directory_backend.h"
#include "node-agent/storage/pool_medium.h"

namespace ashlar::node_agent {

class DirectoryMedium final : public PoolMedium {
 public:
  explicit DirectoryMedium(const PoolEnvironment& env) : env_(env) {}

  absl::StatusOr<OpenedPool> Open(const CallContext& context, PoolRecord& record,
                                  SavePoolRecord save) override;
  absl::Status Close(const CallContext& context, const PoolRecord& record) override;
  bool Carries(const Drive&) const override { return false; }

 private:
  const PoolEnvironment& env_;
  std::shared_ptr<DirectoryBackend> backend_;
};

}  // namespace ashlar::node_agent
