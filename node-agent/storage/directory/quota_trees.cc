#include "node-agent/storage/directory/quota_trees.h"

#include "absl/strings/str_cat.h"
#include "lib/base/status_macros.h"
#include "lib/system/btrfs.h"
#include "lib/system/project_quota.h"
#include "node-agent/storage/directory/btrfs_trees.h"
#include "node-agent/storage/directory/xfs_trees.h"

namespace ashlar::node_agent {

absl::StatusOr<std::unique_ptr<QuotaTrees>> OpenQuotaTrees(const std::string& root) {
  ASHLAR_ASSIGN_OR_RETURN(const bool btrfs, sys::IsBtrfs(root));
  if (btrfs) {
    ASHLAR_RETURN_IF_ERROR(sys::EnableQuota(root));
    return std::make_unique<BtrfsTrees>();
  }
  ASHLAR_ASSIGN_OR_RETURN(const bool projects, sys::HasProjectQuota(root));
  if (!projects)
    return absl::FailedPreconditionError(absl::StrCat(
        root,
        " lies neither on btrfs nor on XFS mounted with the option prjquota, whose quotas "
        "the backend Directory needs; the backend File works on any"));
  return std::make_unique<XfsTrees>();
}

}  // namespace ashlar::node_agent
