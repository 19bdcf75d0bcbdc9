#include "node-agent/storage/pool_medium.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"

namespace ashlar::node_agent {

// The reason is the first line of the message.
absl::Status NotReady(absl::string_view reason, absl::string_view message) {
  return absl::FailedPreconditionError(absl::StrCat(reason, "\n", message));
}

std::string ReasonOf(const absl::Status& status) {
  const absl::string_view text = status.message();
  const size_t end = text.find('\n');
  return end == absl::string_view::npos ? "PoolFailed" : std::string(text.substr(0, end));
}

std::string MessageOf(const absl::Status& status) {
  const absl::string_view text = status.message();
  const size_t end = text.find('\n');
  return std::string(end == absl::string_view::npos ? text : text.substr(end + 1));
}

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

}  // namespace ashlar::node_agent
