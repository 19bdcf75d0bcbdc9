#include "node-agent/storage/directory/xfs_trees.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "lib/base/status_macros.h"
#include "lib/system/errno_status.h"
#include "lib/system/files.h"
#include "lib/system/project_quota.h"
#include "lib/system/remove_tree.h"
#include "node-agent/storage/volume_facts.h"

namespace ashlar::node_agent {
namespace {

// Far from the small numbers that people write into /etc/projid, and below those of the kubelet,
// which begin at 2^20 (its quota monitoring of emptyDir).
constexpr uint32_t kFirstProject = 0x10000;
constexpr int64_t kBytesPerFile = 16 * 1024;
constexpr int64_t kInodeBytes = 512;

}  // namespace

// The inodes of full trees, the trees of free space, and the log, which statfs leaves out.
int64_t XfsTrees::MetadataBytes(int64_t filesystem_bytes) const {
  return 32 * kMiB + filesystem_bytes / (kBytesPerFile / kInodeBytes);
}

absl::Status XfsTrees::Create(const std::string& path, const std::string& source, bool) {
  if (!source.empty())
    return absl::UnimplementedError("the backend Directory makes no copies on XFS");
  ASHLAR_RETURN_IF_ERROR(sys::EnsureDirectory(path, 0755));
  return sys::JoinFreeProject(path, kFirstProject).status();
}

absl::Status XfsTrees::Limit(const std::string& path, int64_t bytes) {
  ASHLAR_ASSIGN_OR_RETURN(const uint32_t project, sys::ReadProject(path));
  if (project == 0) return absl::DataLossError(absl::StrCat(path, " has lost its project"));
  return sys::LimitProject(path, project, {bytes, bytes / kBytesPerFile});
}

absl::StatusOr<int64_t> XfsTrees::UsedBytes(const std::string& path) {
  ASHLAR_ASSIGN_OR_RETURN(const uint32_t project, sys::ReadProject(path));
  if (project == 0) return absl::DataLossError(absl::StrCat(path, " has lost its project"));
  return sys::ReadProjectBytes(path, project);
}

absl::Status XfsTrees::Delete(const CallContext& context, const std::string& path) {
  if (!sys::Exists(path)) return absl::OkStatus();
  ASHLAR_ASSIGN_OR_RETURN(const uint32_t project, sys::ReadProject(path));
  // First, for afterwards nobody knows the project: one with a limit is never free again.
  if (project != 0) ASHLAR_RETURN_IF_ERROR(sys::LimitProject(path, project, {}));
  return sys::RemoveTree(context, path);
}

absl::Status XfsTrees::Commit(const std::string& path) {
  ASHLAR_ASSIGN_OR_RETURN(const sys::UniqueFd fd, sys::OpenFile(path, O_RDONLY | O_DIRECTORY));
  if (syncfs(fd.get()) != 0) return sys::ErrnoStatus(errno, absl::StrCat("sync ", path));
  return absl::OkStatus();
}

}  // namespace ashlar::node_agent
