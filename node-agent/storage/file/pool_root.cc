#include "node-agent/storage/file/pool_root.h"

#include "lib/base/status_macros.h"
#include "node-agent/storage/pool_marker.h"

namespace ashlar::node_agent {
namespace {

FileBackendOptions OptionsFor(const PoolSpec& spec, const std::string& root) {
  FileBackendOptions options;
  options.root = root;
  options.sparse = spec.sparse;
  options.reserve_bytes = spec.reserve_bytes;
  options.overprovision_percent = spec.overprovision_percent;
  if (spec.directory) options.limit_bytes = spec.directory->capacity_bytes;
  return options;
}

}  // namespace

absl::StatusOr<std::shared_ptr<FileBackend>> PoolRoot::Open(const PoolSpec& spec,
                                                            const std::string& root) {
  ASHLAR_RETURN_IF_ERROR(ClaimPoolRoot(spec, root));
  const FileBackendOptions options = OptionsFor(spec, root);
  if (backend_ != nullptr) {
    backend_->SetLimits(options);
    return backend_;
  }
  auto backend = std::make_shared<FileBackend>(commands_, options);
  ASHLAR_RETURN_IF_ERROR(backend->RemoveLeftovers());
  return backend_ = std::move(backend);
}

}  // namespace ashlar::node_agent
