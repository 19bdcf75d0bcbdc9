#include "node-agent/volume/volume_table.h"

#include "absl/strings/str_cat.h"
#include "lib/base/status_macros.h"

namespace ashlar::node_agent {

VolumeTable::Claim::~Claim() {
  if (table_ == nullptr) return;
  MutexLock lock(table_->mu_);
  table_->claimed_.erase(id_);
}

absl::StatusOr<VolumeTable::Claim> VolumeTable::Acquire(const std::string& id) {
  MutexLock lock(mu_);
  if (!claimed_.insert(id).second)
    return absl::AbortedError(absl::StrCat("another call on volume ", id, " is under way: repeat"));
  return Claim(*this, id);
}

std::optional<VolumeEntry> VolumeTable::Get(const std::string& id) {
  MutexLock lock(mu_);
  const auto it = entries_.find(id);
  if (it == entries_.end()) return std::nullopt;
  return it->second;
}

std::vector<VolumeEntry> VolumeTable::All() {
  MutexLock lock(mu_);
  std::vector<VolumeEntry> all;
  all.reserve(entries_.size());
  for (const auto& [id, entry] : entries_) all.push_back(entry);
  return all;
}

absl::Status VolumeTable::Put(VolumeEntry& entry) {
  entry.record.boot_id = boot_id_;
  ASHLAR_RETURN_IF_ERROR(journal_.Save(entry.record));
  Insert(entry);
  return absl::OkStatus();
}

absl::Status VolumeTable::Erase(const std::string& id) {
  ASHLAR_RETURN_IF_ERROR(journal_.Remove(id));
  MutexLock lock(mu_);
  entries_.erase(id);
  return absl::OkStatus();
}

void VolumeTable::Insert(VolumeEntry entry) {
  MutexLock lock(mu_);
  entries_[entry.record.facts.id] = std::move(entry);
}

}  // namespace ashlar::node_agent
