#include "standalone/registry.h"

namespace ashlar::standalone {

void Registry::Put(const std::vector<ResourcePtr>& resources) {
  if (resources.empty()) return;
  const api::KindInfo& info = resources[0]->info;
  MutexLock lock(mu_);
  ++revision_;
  std::erase_if(resources_, [&](const auto& entry) {
    return entry.first.group == info.group && entry.first.plural == info.plural;
  });
  for (const ResourcePtr& resource : resources) {
    resources_[{info.group, resource->info.version, info.plural}] = resource;
  }
}

void Registry::Remove(const std::string& group, const std::string& plural) {
  MutexLock lock(mu_);
  ++revision_;
  std::erase_if(resources_, [&](const auto& entry) {
    return entry.first.group == group && entry.first.plural == plural;
  });
}

ResourcePtr Registry::Find(const std::string& group, const std::string& version,
                           const std::string& plural) const {
  MutexLock lock(mu_);
  auto it = resources_.find({group, version, plural});
  return it == resources_.end() ? nullptr : it->second;
}

ResourcePtr Registry::FindKind(const std::string& group, const std::string& kind) const {
  MutexLock lock(mu_);
  for (const auto& [place, resource] : resources_) {
    if (place.group == group && resource->info.kind == kind) return resource;
  }
  return nullptr;
}

std::vector<ResourcePtr> Registry::All() const {
  MutexLock lock(mu_);
  std::vector<ResourcePtr> all;
  for (const auto& [place, resource] : resources_) all.push_back(resource);
  return all;
}

int64_t Registry::Revision() const {
  MutexLock lock(mu_);
  return revision_;
}

}  // namespace ashlar::standalone
