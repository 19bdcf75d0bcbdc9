// PoolRoot: the directory in which the File backend keeps a pool. A marker file in it says whose it
// is. Thread-safe as PoolMedium says.
#pragma once

#include <memory>
#include <string>

#include "lib/system/command_runner.h"
#include "node-agent/storage/drives_medium.h"
#include "node-agent/storage/file/file_backend.h"

namespace ashlar::node_agent {

class PoolRoot final : public DirectoryPool {
 public:
  explicit PoolRoot(sys::CommandRunner& commands) : commands_(commands) {}

  // Makes `root` this pool's, or finds that it is; the same backend each time, with the limits of
  // `spec`. NotReady: another pool has volumes there.
  absl::StatusOr<std::shared_ptr<StorageBackend>> Open(const PoolSpec& spec,
                                                       const std::string& root) override;
  bool is_open() const { return backend_ != nullptr; }

 private:
  sys::CommandRunner& commands_;
  std::shared_ptr<FileBackend> backend_;
};

// A pool on drives that are formatted with XFS.
std::unique_ptr<PoolMedium> FileDrives(const PoolEnvironment& env, const PoolSpec& spec);

}  // namespace ashlar::node_agent
