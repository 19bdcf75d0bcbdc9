#include "controller/slices/offered_volumes.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ashlar/v1alpha1/volume.codec.h"
#include "controller/dra_names/drive_names.h"
#include "controller/slices/volume_devices.h"
#include "lib/base/json.h"

namespace ashlar::controller {
namespace {

using v1alpha1::Volume;

std::optional<Volume> Read(const runtime::ObjectPtr& object) {
  if (object == nullptr) return std::nullopt;
  auto volume = api::FromJson<Volume>(*object);
  if (!volume.ok()) return std::nullopt;
  return *std::move(volume);
}

bool BearsOffer(const Json& volume) {
  return FindJson(volume, {"spec", "offer", "namespaces"}) != nullptr;
}

}  // namespace

std::string OfferedVolumes::Note(const api::ObjectKey& key) {
  const runtime::ObjectPtr object = volumes_.Get(key);
  Seen now;
  if (object != nullptr && BearsOffer(*object))
    if (const std::optional<Volume> volume = Read(object))
      now = {volume->spec().node_name(),
             absl::StrCat(IsOffered(*volume), " ", volume->status().size(), " ",
                          volume->spec().SerializeAsString())};
  MutexLock lock(mu_);
  const auto before = seen_.find(key.name);
  if (before == seen_.end()) {
    if (now.node.empty()) return "";
    return seen_.emplace(key.name, std::move(now)).first->second.node;
  }
  if (before->second.matters == now.matters) return "";
  const std::string node = before->second.node;
  if (now.node.empty())
    seen_.erase(before);
  else
    before->second = std::move(now);
  return node;
}

std::vector<Volume> OfferedVolumes::On(const std::string& node) const {
  std::vector<std::string> names;
  {
    MutexLock lock(mu_);
    for (const auto& [name, seen] : seen_)
      if (seen.node == node) names.push_back(name);
  }
  std::vector<Volume> volumes;
  for (const std::string& name : names)
    if (std::optional<Volume> volume = Read(volumes_.Get({"", name})))
      volumes.push_back(*std::move(volume));
  return volumes;
}

std::optional<Volume> OfferedVolumes::Find(const std::string& node,
                                           const std::string& device) const {
  for (Volume& volume : On(node))
    if (VolumeDeviceName(volume.metadata().name()) == device) return std::move(volume);
  return std::nullopt;
}

}  // namespace ashlar::controller
