#include "node-agent/storage/file/pool_root.h"

#include "absl/strings/str_cat.h"
#include "lib/base/json.h"
#include "lib/base/status_macros.h"
#include "lib/system/files.h"
#include "node-agent/storage/pool_medium.h"

namespace ashlar::node_agent {
namespace {

constexpr char kMarker[] = "/.ashlar-pool.json";

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

// Writes the pool's name into its root, or finds it there.
absl::Status PoolRoot::Claim(const PoolSpec& spec, const std::string& root) {
  const std::string marker = absl::StrCat(root, kMarker);
  const absl::StatusOr<std::string> text = sys::ReadFile(marker);
  if (text.ok()) {
    const absl::StatusOr<Json> json = ParseJson(*text);
    const std::string uid = json.ok() ? JsonString(*json, {"uid"}) : "";
    if (uid == spec.uid) return absl::OkStatus();
    const absl::StatusOr<std::vector<std::string>> volumes =
        sys::ListDirectory(absl::StrCat(root, "/volumes"));
    if (volumes.ok() && !volumes->empty())
      return NotReady("OtherPool", absl::StrCat(root, " holds ", volumes->size(),
                                                " volumes of another pool, of uid ", uid));
  } else if (!absl::IsNotFound(text.status())) {
    return text.status();
  }
  const Json mark{{"name", spec.name}, {"uid", spec.uid}};
  return sys::ReplaceFileDurably(marker, DumpJson(mark));
}

absl::StatusOr<std::shared_ptr<FileBackend>> PoolRoot::Open(const PoolSpec& spec,
                                                            const std::string& root) {
  ASHLAR_RETURN_IF_ERROR(Claim(spec, root));
  const FileBackendOptions options = OptionsFor(spec, root);
  if (backend_ != nullptr) {
    backend_->SetLimits(options);
    return backend_;
  }
  auto backend = std::make_shared<FileBackend>(commands_, options);
  ASHLAR_RETURN_IF_ERROR(backend->RemoveLeftovers());
  return backend_ = std::move(backend);
}

absl::Status PoolRoot::Clear(const std::string& root) {
  ASHLAR_RETURN_IF_ERROR(sys::RemoveEmptyDirectory(absl::StrCat(root, "/volumes")));
  return sys::RemoveFile(absl::StrCat(root, kMarker), sys::Durability::kPowerCut);
}

}  // namespace ashlar::node_agent
