#include "node-agent/storage/directory/directory_medium.h"

#include "absl/strings/str_cat.h"
#include "lib/base/status_macros.h"
#include "lib/system/btrfs.h"
#include "lib/system/files.h"
#include "node-agent/storage/pool_marker.h"

namespace ashlar::node_agent {

absl::StatusOr<OpenedPool> DirectoryMedium::Open(const CallContext&, PoolRecord& record,
                                                 SavePoolRecord) {
  const std::string& path = record.spec.directory->path;
  ASHLAR_RETURN_IF_ERROR(CheckDirectoryAllowed(env_, path));
  ASHLAR_RETURN_IF_ERROR(sys::EnsureDirectory(path));
  ASHLAR_ASSIGN_OR_RETURN(const bool btrfs, sys::IsBtrfs(path));
  if (!btrfs)
    return NotReady("NotBtrfs",
                    absl::StrCat(path,
                                 " does not lie on a btrfs filesystem, which the backend Directory "
                                 "needs for its quotas; the backend File works on any"));
  ASHLAR_RETURN_IF_ERROR(ClaimPoolRoot(record.spec, path));
  DirectoryBackendOptions options;
  options.root = path;
  options.reserve_bytes = record.spec.reserve_bytes;
  options.limit_bytes = record.spec.directory->capacity_bytes;
  if (backend_ == nullptr) {
    auto backend = std::make_shared<DirectoryBackend>(options);
    ASHLAR_RETURN_IF_ERROR(backend->Open());
    backend_ = std::move(backend);
  } else {
    backend_->SetLimits(options);
  }
  return OpenedPool{backend_, {path}};
}

absl::Status DirectoryMedium::Close(const CallContext&, const PoolRecord& record) {
  if (backend_ == nullptr) return absl::OkStatus();
  return ClearPoolRoot(record.spec.directory->path);
}

}  // namespace ashlar::node_agent
