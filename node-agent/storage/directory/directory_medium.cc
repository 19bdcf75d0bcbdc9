#include "node-agent/storage/directory/directory_medium.h"

#include "absl/strings/str_cat.h"
#include "lib/base/status_macros.h"
#include "lib/system/files.h"
#include "node-agent/storage/pool_marker.h"

namespace ashlar::node_agent {
absl::StatusOr<std::shared_ptr<StorageBackend>> DirectoryRoot::Open(const PoolSpec& spec,
                                                                    const std::string& root) {
  if (const auto trees = OpenQuotaTrees(root); absl::IsFailedPrecondition(trees.status()))
    return NotReady("NoQuota", trees.status().message());
  ASHLAR_RETURN_IF_ERROR(ClaimPoolRoot(spec, root));
  DirectoryBackendOptions options;
  options.root = root;
  options.reserve_bytes = spec.reserve_bytes;
  if (spec.directory) options.limit_bytes = spec.directory->capacity_bytes;
  if (backend_ != nullptr) {
    backend_->SetLimits(options);
    return backend_;
  }
  auto backend = std::make_shared<DirectoryBackend>(options);
  ASHLAR_RETURN_IF_ERROR(backend->Open());
  backend_ = std::move(backend);
  return backend_;
}

absl::StatusOr<OpenedPool> DirectoryMedium::Open(const CallContext&, PoolRecord& record,
                                                 SavePoolRecord) {
  const std::string& path = record.spec.directory->path;
  ASHLAR_RETURN_IF_ERROR(CheckDirectoryAllowed(env_, path));
  ASHLAR_RETURN_IF_ERROR(sys::EnsureDirectory(path));
  ASHLAR_ASSIGN_OR_RETURN(const std::shared_ptr<StorageBackend> backend,
                          root_.Open(record.spec, path));
  return OpenedPool{backend, {path}};
}

absl::Status DirectoryMedium::Close(const CallContext&, const PoolRecord& record) {
  if (!root_.is_open()) return absl::OkStatus();
  return ClearPoolRoot(record.spec.directory->path);
}

std::unique_ptr<PoolMedium> DirectoryDrives(const PoolEnvironment& env, const PoolSpec& spec) {
  // Quotas are switched on when the backend opens it. Metadata is written twice, as mkfs.btrfs does
  // by itself for drives that turn.
  const auto mkfs = [](const std::string& uuid) -> std::vector<std::string> {
    return {"mkfs.btrfs", "-q", "-L", "ashlar", "-m", "dup", "-U", uuid};
  };
  return std::make_unique<DrivesMedium>(env, spec, PoolFilesystem{"btrfs", mkfs, ""},
                                        [] { return std::make_unique<DirectoryRoot>(); });
}

}  // namespace ashlar::node_agent
