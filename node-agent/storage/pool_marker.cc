#include "node-agent/storage/pool_marker.h"

#include "absl/strings/str_cat.h"
#include "lib/base/json.h"
#include "lib/base/status_macros.h"
#include "lib/system/files.h"
#include "node-agent/storage/pool_medium.h"

namespace ashlar::node_agent {
namespace {

constexpr char kMarker[] = "/.ashlar-pool.json";

}  // namespace

absl::Status ClaimPoolRoot(const PoolSpec& spec, const std::string& root) {
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

absl::Status ClearPoolRoot(const std::string& root) {
  ASHLAR_RETURN_IF_ERROR(sys::RemoveEmptyDirectory(absl::StrCat(root, "/volumes")));
  return sys::RemoveFile(absl::StrCat(root, kMarker), sys::Durability::kPowerCut);
}

}  // namespace ashlar::node_agent
