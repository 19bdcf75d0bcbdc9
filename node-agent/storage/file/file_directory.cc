#include "node-agent/storage/file/file_directory.h"

#include "lib/base/status_macros.h"
#include "lib/system/files.h"
#include "node-agent/storage/pool_marker.h"

namespace ashlar::node_agent {

absl::StatusOr<OpenedPool> FileDirectory::Open(const CallContext&, PoolRecord& record,
                                               SavePoolRecord) {
  const std::string& path = record.spec.directory->path;
  ASHLAR_RETURN_IF_ERROR(CheckDirectoryAllowed(env_, path));
  ASHLAR_RETURN_IF_ERROR(sys::EnsureDirectory(path));
  ASHLAR_ASSIGN_OR_RETURN(const std::shared_ptr<StorageBackend> backend,
                          root_.Open(record.spec, path));
  return OpenedPool{backend, {path}};
}

absl::Status FileDirectory::Close(const CallContext&, const PoolRecord& record) {
  if (!root_.is_open()) return absl::OkStatus();
  return ClearPoolRoot(record.spec.directory->path);
}

}  // namespace ashlar::node_agent
