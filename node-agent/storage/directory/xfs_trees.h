// XfsTrees: directories with a project quota each. The directory bears the number of its project,
// which nothing else on the filesystem has. Files are limited too, as their inodes count for no
// project: one for each 16 KiB. Whoever owns files and lives in no user namespace of his own can
// take them out of the project (xfs_ioctl_setattr_check_projid in the kernel's fs/xfs/xfs_ioctl.c).
#pragma once

#include "node-agent/storage/directory/quota_trees.h"

namespace ashlar::node_agent {

class XfsTrees final : public QuotaTrees {
 public:
  std::string fs_type() const override { return "xfs"; }
  bool copies() const override { return false; }
  int64_t MetadataBytes(int64_t filesystem_bytes) const override;
  absl::Status Create(const std::string& path, const std::string& source, bool read_only) override;
  absl::Status Limit(const std::string& path, int64_t bytes) override;
  absl::StatusOr<int64_t> UsedBytes(const std::string& path) override;
  absl::Status Delete(const CallContext& context, const std::string& path) override;
  absl::Status Commit(const std::string& path) override;
};

}  // namespace ashlar::node_agent
