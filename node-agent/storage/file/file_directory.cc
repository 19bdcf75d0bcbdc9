#include "node-agent/storage/file/file_directory.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "lib/base/status_macros.h"
#include "lib/system/files.h"

namespace ashlar::node_agent {

absl::Status CheckDirectoryAllowed(const PoolEnvironment& env, const std::string& path) {
  const auto holds = [&](const std::string& root) {
    return path == root || absl::StartsWith(path, absl::StrCat(absl::StripSuffix(root, "/"), "/"));
  };
  if (env.directories.empty() || std::any_of(env.directories.begin(), env.directories.end(), holds))
    return absl::OkStatus();
  return NotReady("DirectoryNotAllowed",
                  absl::StrCat(path, " is not at or below a directory that this agent may use (",
                               absl::StrJoin(env.directories, ", "),
                               "); the value node.directories of the Helm chart, or the agent's "
                               "flag --pool-directory, adds others"));
}

absl::StatusOr<OpenedPool> FileDirectory::Open(const CallContext&, PoolRecord& record,
                                               SavePoolRecord) {
  const std::string& path = record.spec.directory->path;
  ASHLAR_RETURN_IF_ERROR(CheckDirectoryAllowed(env_, path));
  ASHLAR_RETURN_IF_ERROR(sys::EnsureDirectory(path));
  ASHLAR_ASSIGN_OR_RETURN(const std::shared_ptr<FileBackend> backend,
                          root_.Open(record.spec, path));
  return OpenedPool{backend, {path}};
}

absl::Status FileDirectory::Close(const CallContext&, const PoolRecord& record) {
  if (!root_.is_open()) return absl::OkStatus();
  return PoolRoot::Clear(record.spec.directory->path);
}

}  // namespace ashlar::node_agent
