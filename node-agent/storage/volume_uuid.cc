#include "node-agent/storage/volume_uuid.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "node-agent/storage/pool_types.h"

namespace ashlar::node_agent {
namespace {

constexpr size_t kPrefix = 13;  // "01234567-89ab"

std::string PrefixOf(const std::string& pool_uid) {
  return FilesystemUuid(absl::StrCat("volumes of ", pool_uid)).substr(0, kPrefix);
}

}  // namespace

std::string VolumeUuid(const std::string& pool_uid, const std::string& volume_id) {
  const std::string own = FilesystemUuid(absl::StrCat("volume ", pool_uid, " ", volume_id));
  return absl::StrCat(PrefixOf(pool_uid), own.substr(kPrefix));
}

bool IsVolumeUuidOf(const std::string& pool_uid, absl::string_view uuid) {
  return absl::StartsWithIgnoreCase(uuid, PrefixOf(pool_uid));
}

}  // namespace ashlar::node_agent
