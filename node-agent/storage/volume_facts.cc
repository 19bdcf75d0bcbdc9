#include "node-agent/storage/volume_facts.h"

#include <limits>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "lib/base/fnv.h"
#include "lib/base/status_macros.h"

namespace ashlar::node_agent {
namespace {

constexpr size_t kLongestStem = 200;

bool IsLabel(absl::string_view label) {
  if (label.empty() || label.front() == '-' || label.back() == '-') return false;
  for (const char c : label)
    if (!absl::ascii_islower(c) && !absl::ascii_isdigit(c) && c != '-') return false;
  return true;
}

// mkfs.xfs 6 refuses less than 300 MiB; a journal of ext4 needs some room.
int64_t LeastBytes(absl::string_view fs_type) {
  if (fs_type == "xfs") return 300 * kMiB;
  if (fs_type == "ext4") return 16 * kMiB;
  return kMiB;
}

}  // namespace

absl::string_view ModeName(VolumeMode mode) {
  return mode == VolumeMode::kBlock ? "block" : "filesystem";
}

absl::StatusOr<VolumeMode> ModeFromName(absl::string_view name) {
  if (name == "filesystem") return VolumeMode::kFilesystem;
  if (name == "block") return VolumeMode::kBlock;
  return absl::InvalidArgumentError(
      absl::StrCat("mode is \"", name, "\": filesystem or block are accepted"));
}

absl::string_view KindName(VolumeKind kind) {
  switch (kind) {
    case VolumeKind::kSnapshot:
      return "snapshot";
    case VolumeKind::kInline:
      return "inline";
    case VolumeKind::kVolume:
      break;
  }
  return "volume";
}

Json FactsToJson(const VolumeFacts& facts) {
  return Json{{"id", facts.id},
              {"pool", facts.pool},
              {"poolUid", facts.pool_uid},
              {"mode", std::string(ModeName(facts.mode))},
              {"fsType", facts.fs_type},
              {"kind", std::string(KindName(facts.kind))},
              {"source", facts.source}};
}

absl::StatusOr<VolumeFacts> FactsFromJson(const Json& json) {
  VolumeFacts facts;
  facts.id = JsonString(json, {"id"});
  facts.pool = JsonString(json, {"pool"});
  facts.pool_uid = JsonString(json, {"poolUid"});
  facts.fs_type = JsonString(json, {"fsType"});
  facts.source = JsonString(json, {"source"});
  ASHLAR_ASSIGN_OR_RETURN(facts.mode, ModeFromName(JsonString(json, {"mode"})));
  const std::string kind = JsonString(json, {"kind"});
  if (!kind.empty() && kind != "volume" && kind != "snapshot" && kind != "inline")
    return absl::InvalidArgumentError(
        absl::StrCat("kind is \"", kind, "\": volume, snapshot or inline are accepted"));
  if (kind == "snapshot") facts.kind = VolumeKind::kSnapshot;
  if (kind == "inline") facts.kind = VolumeKind::kInline;
  ASHLAR_RETURN_IF_ERROR(ValidateName("id", facts.id));
  ASHLAR_RETURN_IF_ERROR(ValidateName("pool", facts.pool));
  ASHLAR_RETURN_IF_ERROR(ValidateFormat(facts.mode, facts.fs_type));
  if (!facts.source.empty()) ASHLAR_RETURN_IF_ERROR(ValidateName("source", facts.source));
  return facts;
}

absl::Status ValidateName(absl::string_view field, absl::string_view id) {
  bool valid = !id.empty() && id.size() <= 253;
  for (const absl::string_view label : absl::StrSplit(id, '.')) valid = valid && IsLabel(label);
  if (valid) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(field, " is \"", id.substr(0, 300),
                   "\": a DNS-1123 subdomain of 1 to 253 characters is accepted"));
}

absl::Status ValidateFormat(VolumeMode mode, absl::string_view fs_type) {
  if (mode == VolumeMode::kBlock) {
    if (fs_type.empty()) return absl::OkStatus();
    return absl::InvalidArgumentError(
        absl::StrCat("fs_type is \"", fs_type, "\": must be empty for a block volume"));
  }
  if (fs_type == "ext4" || fs_type == "xfs" || fs_type == "btrfs") return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("fs_type is \"", fs_type, "\": ext4, xfs and btrfs are accepted"));
}

absl::StatusOr<int64_t> RoundedSize(int64_t size_bytes, absl::string_view fs_type) {
  if (size_bytes <= 0 || size_bytes > std::numeric_limits<int64_t>::max() - kMiB)
    return absl::InvalidArgumentError(
        absl::StrCat("size_bytes is ", size_bytes, ": must be positive and below 2^63 - 1 MiB"));
  const int64_t rounded = (size_bytes + kMiB - 1) / kMiB * kMiB;
  if (rounded < LeastBytes(fs_type))
    return absl::InvalidArgumentError(absl::StrCat("size_bytes is ", size_bytes, ": ", fs_type,
                                                   " needs at least ", LeastBytes(fs_type)));
  return rounded;
}

std::string FileStem(absl::string_view id) {
  if (id.size() <= kLongestStem) return std::string(id);
  // An underscore occurs in no DNS-1123 name.
  return absl::StrFormat("%s_%016x", id.substr(0, kLongestStem - 20), Fnv1a(id));
}

}  // namespace ashlar::node_agent
