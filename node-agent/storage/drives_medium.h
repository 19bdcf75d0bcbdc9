// DrivesMedium: a pool on filesystems, one on each of its drives, with a backend for each.
#pragma once

#include <functional>
#include <map>

#include "node-agent/storage/filesystem_drives.h"
#include "node-agent/storage/spread_backend.h"

namespace ashlar::node_agent {

// Makes the pool of `spec` in the directory at which a drive is mounted, or gives the backend that
// was made there new limits.
class DirectoryPool {
 public:
  virtual ~DirectoryPool() = default;
  virtual absl::StatusOr<std::shared_ptr<StorageBackend>> Open(const PoolSpec& spec,
                                                               const std::string& directory) = 0;
};

class DrivesMedium final : public PoolMedium {
 public:
  DrivesMedium(const PoolEnvironment& env, const PoolSpec& spec, PoolFilesystem filesystem,
               std::function<std::unique_ptr<DirectoryPool>()> make)
      : drives_(env, spec, std::move(filesystem)), make_(std::move(make)) {}

  absl::StatusOr<OpenedPool> Open(const CallContext& context, PoolRecord& record,
                                  SavePoolRecord save) override;
  absl::Status Close(const CallContext& context, const PoolRecord& record) override;
  bool Carries(const Drive& drive) const override { return drives_.Carries(drive); }

 private:
  // Of what is open, drives that take no volumes and have none: they leave the pool.
  absl::Status ReleaseEmpty(PoolRecord& record, std::vector<SpreadPart>& parts,
                            SavePoolRecord save);

  FilesystemDrives drives_;
  const std::function<std::unique_ptr<DirectoryPool>()> make_;
  std::map<std::string, std::unique_ptr<DirectoryPool>> pools_;  // by id of the drive
  const std::shared_ptr<SpreadBackend> backend_ = std::make_shared<SpreadBackend>();
};

}  // namespace ashlar::node_agent
