#include "node-agent/storage/directory/btrfs_trees.h"

#include <algorithm>

#include "lib/base/status_macros.h"
#include "lib/system/btrfs.h"
#include "node-agent/storage/volume_facts.h"

namespace ashlar::node_agent {

// Metadata is written twice, chunks are taken as a whole, and a filesystem without a free chunk
// cannot even delete.
int64_t BtrfsTrees::MetadataBytes(int64_t filesystem_bytes) const {
  return std::max<int64_t>(128 * kMiB, filesystem_bytes / 16);
}

absl::Status BtrfsTrees::Create(const std::string& path, const std::string& source,
                                bool read_only) {
  return source.empty() ? sys::CreateSubvolume(path)
                        : sys::SnapshotSubvolume(source, path, read_only);
}

absl::Status BtrfsTrees::Limit(const std::string& path, int64_t bytes) {
  return sys::LimitSubvolume(path, bytes);
}

absl::StatusOr<int64_t> BtrfsTrees::UsedBytes(const std::string& path) {
  ASHLAR_ASSIGN_OR_RETURN(const sys::SubvolumeUsage usage, sys::ReadSubvolumeUsage(path));
  return usage.referenced_bytes;
}

absl::Status BtrfsTrees::Delete(const CallContext&, const std::string& path) {
  return sys::DeleteSubvolume(path);
}

absl::Status BtrfsTrees::Commit(const std::string& path) { return sys::CommitBtrfs(path); }

}  // namespace ashlar::node_agent
