// BtrfsTrees: subvolumes, each with a quota group. The quota counts what a subvolume refers to, so
// that each can be filled whatever it shares with others.
#pragma once

#include "node-agent/storage/directory/quota_trees.h"

namespace ashlar::node_agent {

class BtrfsTrees final : public QuotaTrees {
 public:
  std::string fs_type() const override { return "btrfs"; }
  bool copies() const override { return true; }
  int64_t MetadataBytes(int64_t filesystem_bytes) const override;
  absl::Status Create(const std::string& path, const std::string& source, bool read_only) override;
  absl::Status Limit(const std::string& path, int64_t bytes) override;
  absl::StatusOr<int64_t> UsedBytes(const std::string& path) override;
  absl::Status Delete(const CallContext& context, const std::string& path) override;
  absl::Status Commit(const std::string& path) override;
};

}  // namespace ashlar::node_agent
