#include "node-agent/volume/attribute_table.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "lib/base/json.h"
#include "lib/base/log.h"
#include "lib/base/status_macros.h"
#include "lib/system/files.h"
#include "node-agent/storage/volume_facts.h"

namespace ashlar::node_agent {

std::string AttributeTable::PathOf(const std::string& volume) const {
  return absl::StrCat(directory_, "/", FileStem(volume), ".json");
}

absl::Status AttributeTable::Load() {
  ASHLAR_RETURN_IF_ERROR(sys::EnsureDirectory(directory_, 0700));
  ASHLAR_ASSIGN_OR_RETURN(const std::vector<std::string> names, sys::ListDirectory(directory_));
  for (const std::string& name : names) {
    if (!absl::EndsWith(name, ".json")) continue;
    const absl::StatusOr<std::string> text = sys::ReadFile(absl::StrCat(directory_, "/", name));
    const absl::StatusOr<Json> json =
        text.ok() ? ParseJson(text->substr(0, text->find('\n'))) : text.status();
    const absl::StatusOr<VolumeAttributes> attributes =
        json.ok() ? AttributesFromJson(*json) : json.status();
    const std::string volume = json.ok() ? JsonString(*json, {"volume"}) : std::string();
    if (!attributes.ok() || FileStem(volume) + ".json" != name) {
      LogWarning("attributes of a volume that cannot be read; the controller gives them again",
                 {{"file", name}, {"error", attributes.status().ToString()}});
      continue;
    }
    MutexLock lock(mu_);
    all_[volume] = *attributes;
  }
  return absl::OkStatus();
}

VolumeAttributes AttributeTable::Get(const std::string& volume) const {
  MutexLock lock(mu_);
  const auto found = all_.find(volume);
  return found == all_.end() ? VolumeAttributes{} : found->second;
}

absl::Status AttributeTable::Put(const std::string& volume, const VolumeAttributes& attributes) {
  if (attributes == VolumeAttributes{}) return Erase(volume);
  Json json = AttributesToJson(attributes);
  json["volume"] = volume;
  ASHLAR_RETURN_IF_ERROR(sys::WritePage(PathOf(volume), DumpJson(json)));
  MutexLock lock(mu_);
  all_[volume] = attributes;
  return absl::OkStatus();
}

absl::Status AttributeTable::Erase(const std::string& volume) {
  {
    MutexLock lock(mu_);
    if (all_.count(volume) == 0) return absl::OkStatus();
  }
  ASHLAR_RETURN_IF_ERROR(sys::RemoveFile(PathOf(volume), sys::Durability::kProcessCrash));
  MutexLock lock(mu_);
  all_.erase(volume);
  return absl::OkStatus();
}

bool AttributeTable::AnyLimits() const {
  MutexLock lock(mu_);
  return std::any_of(all_.begin(), all_.end(),
                     [](const auto& item) { return item.second.limits.any(); });
}

}  // namespace ashlar::node_agent
