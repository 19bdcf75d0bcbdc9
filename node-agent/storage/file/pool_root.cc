#include "node-agent/storage/file/pool_root.h"

#include "absl/strings/str_cat.h"
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

absl::StatusOr<std::shared_ptr<StorageBackend>> PoolRoot::Open(const PoolSpec& spec,
                                                               const std::string& root) {
  ASHLAR_RETURN_IF_ERROR(ClaimPoolRoot(spec, root));
  const FileBackendOptions options = OptionsFor(spec, root);
  if (backend_ != nullptr) {
    backend_->SetLimits(options);
    return backend_;
  }
  auto backend = std::make_shared<FileBackend>(commands_, options);
  ASHLAR_RETURN_IF_ERROR(backend->RemoveLeftovers());
  backend_ = std::move(backend);
  return backend_;
}

std::unique_ptr<PoolMedium> FileDrives(const PoolEnvironment& env, const PoolSpec& spec) {
  const auto mkfs = [](const std::string& uuid) -> std::vector<std::string> {
    return {"mkfs.xfs", "-q", "-L", "ashlar", "-m", absl::StrCat("reflink=1,uuid=", uuid)};
  };
  return std::make_unique<DrivesMedium>(env, spec, PoolFilesystem{"xfs", mkfs, ""}, [&env] {
    return std::make_unique<PoolRoot>(env.commands);
  });
}

}  // namespace ashlar::node_agent
