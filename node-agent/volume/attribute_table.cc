#include "node-agent/volume/attribute_table.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "lib/base/json.h"
#include "lib/base/status_macros.h"
#include "node-agent/storage/volume_facts.h"

namespace ashlar::node_agent {

absl::Status AttributeTable::Load() {
  return folder_.Load([&](const std::string& stem, const Json& json) -> absl::Status {
    ASHLAR_ASSIGN_OR_RETURN(const VolumeAttributes attributes, AttributesFromJson(json));
    const std::string volume = JsonString(json, {"volume"});
    if (FileStem(volume) != stem)
      return absl::FailedPreconditionError(absl::StrCat("it is of volume ", volume));
    MutexLock lock(mu_);
    all_[volume] = attributes;
    return absl::OkStatus();
  });
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
  ASHLAR_RETURN_IF_ERROR(folder_.Save(FileStem(volume), json));
  MutexLock lock(mu_);
  all_[volume] = attributes;
  return absl::OkStatus();
}

absl::Status AttributeTable::Erase(const std::string& volume) {
  {
    MutexLock lock(mu_);
    if (all_.count(volume) == 0) return absl::OkStatus();
  }
  ASHLAR_RETURN_IF_ERROR(folder_.Remove(FileStem(volume)));
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
