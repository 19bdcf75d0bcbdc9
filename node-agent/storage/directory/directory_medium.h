// The media of the backend Directory: a directory of the node, on a filesystem with quotas that
// others may share; or drives of its own, which are formatted with btrfs.
#pragma once

#include "node-agent/storage/directory/directory_backend.h"
#include "node-agent/storage/drives_medium.h"
#include "node-agent/storage/pool_medium.h"

namespace ashlar::node_agent {

// The directory in which the backend keeps a pool; a marker file in it says whose it is.
class DirectoryRoot final : public DirectoryPool {
 public:
  // Makes `root` this pool's, or finds that it is; the same backend each time, with the limits of
  // `spec`. NotReady: the filesystem has no quotas, or another pool has volumes there.
  absl::StatusOr<std::shared_ptr<StorageBackend>> Open(const PoolSpec& spec,
                                                       const std::string& root) override;
  bool is_open() const { return backend_ != nullptr; }

 private:
  std::shared_ptr<DirectoryBackend> backend_;
};

class DirectoryMedium final : public PoolMedium {
 public:
  explicit DirectoryMedium(const PoolEnvironment& env) : env_(env) {}

  absl::StatusOr<OpenedPool> Open(const CallContext& context, PoolRecord& record,
                                  SavePoolRecord save) override;
  absl::Status Close(const CallContext& context, const PoolRecord& record) override;
  bool Carries(const Drive&) const override { return false; }

 private:
  const PoolEnvironment& env_;
  DirectoryRoot root_;
};

// A pool on drives that are formatted with btrfs.
std::unique_ptr<PoolMedium> DirectoryDrives(const PoolEnvironment& env, const PoolSpec& spec);

}  // namespace ashlar::node_agent
