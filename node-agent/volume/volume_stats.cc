// What a mounted volume holds.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "lib/base/status_macros.h"
#include "lib/system/files.h"
#include "node-agent/volume/volume_manager.h"

namespace ashlar::node_agent {

// A directory shares its filesystem, whose bytes are not its own; its inodes are.
absl::Status VolumeManager::CountAgainstQuota(const VolumeEntry& entry, VolumeStats& stats) {
  const VolumeFacts& facts = entry.record.facts;
  ASHLAR_ASSIGN_OR_RETURN(const std::shared_ptr<StorageBackend> backend,
                          env_.pools.Backend(facts.pool));
  ASHLAR_ASSIGN_OR_RETURN(const StoredVolume now, backend->Find(facts.id));
  stats.total_bytes = now.size_bytes;
  stats.used_bytes = std::min(now.used_bytes, now.size_bytes);
  stats.available_bytes = std::min(now.size_bytes - stats.used_bytes, stats.available_bytes);
  return absl::OkStatus();
}

absl::StatusOr<VolumeStats> VolumeManager::Stats(const std::string& id,
                                                 const std::string& volume_path) {
  ASHLAR_RETURN_IF_ERROR(ValidateName("volume_id", id));
  ASHLAR_ASSIGN_OR_RETURN(const std::string path, paths_.Resolve("volume_path", volume_path));
  ASHLAR_ASSIGN_OR_RETURN(const VolumeEntry entry, Existing(id));
  if (!entry.record.knows(path))
    return absl::NotFoundError(absl::StrCat("volume ", id, " is not at volume_path ", path));
  VolumeStats stats;
  stats.mode = entry.record.facts.mode;
  if (const VolumeStatus status = StatusOf(entry); !status.healthy)
    stats.abnormal = {status.reason, status.message};
  if (stats.mode == VolumeMode::kBlock) {
    stats.total_bytes = entry.stored->size_bytes;
    return stats;
  }
  ASHLAR_ASSIGN_OR_RETURN(const std::vector<sys::MountEntry> mounts, env_.mounts.List());
  const sys::MountEntry* mount = sys::FindMount(mounts, path);
  if (mount == nullptr)
    return absl::NotFoundError(absl::StrCat("nothing is mounted at volume_path ", path));
  ASHLAR_ASSIGN_OR_RETURN(const sys::FilesystemStat fs, sys::StatFilesystem(path));
  stats.total_bytes = fs.total_bytes;
  stats.available_bytes = fs.available_bytes;
  stats.used_bytes = fs.total_bytes - fs.free_bytes;
  stats.total_inodes = fs.total_inodes;
  stats.available_inodes = fs.free_inodes;
  stats.used_inodes = fs.total_inodes - fs.free_inodes;
  if (entry.stored->form == VolumeForm::kDirectory)
    ASHLAR_RETURN_IF_ERROR(CountAgainstQuota(entry, stats));
  if (stats.abnormal.reason.empty()) stats.abnormal = TroubleOf(entry, mounts);
  return stats;
}

}  // namespace ashlar::node_agent
