// FileDirectory: a pool of the File backend in a directory of the node, on a filesystem that others
// may share.
#pragma once

#include "node-agent/storage/file/pool_root.h"
#include "node-agent/storage/pool_medium.h"

namespace ashlar::node_agent {

class FileDirectory final : public PoolMedium {
 public:
  explicit FileDirectory(const PoolEnvironment& env) : env_(env), root_(env.commands) {}

  absl::StatusOr<OpenedPool> Open(const CallContext& context, PoolRecord& record,
                                  SavePoolRecord save) override;
  absl::Status Close(const CallContext& context, const PoolRecord& record) override;
  bool Carries(const Drive&) const override { return false; }

 private:
  const PoolEnvironment& env_;
  PoolRoot root_;
};

}  // namespace ashlar::node_agent
