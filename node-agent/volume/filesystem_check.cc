#include "node-agent/volume/filesystem_check.h"

#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "lib/base/status_macros.h"

namespace ashlar::node_agent {
namespace {

// e2fsck(8), exit code: a sum of these.
constexpr int kCorrected = 1 | 2;
constexpr int kLeft = 4;
// xfs_repair(8): with -n, 1 if it found damage.
constexpr int kDamaged = 1;
constexpr size_t kMostWords = 600;

std::string LastWords(const sys::CommandResult& result) {
  std::vector<std::string> lines =
      absl::StrSplit(absl::StrCat(result.out, "\n", result.err), '\n', absl::SkipWhitespace());
  if (lines.size() > 6) lines.erase(lines.begin(), lines.end() - 6);
  std::string words = absl::StrJoin(lines, "; ");
  return words.size() <= kMostWords ? words
                                    : absl::StrCat("...", words.substr(words.size() - kMostWords));
}

absl::Status Broken(const std::string& what, const std::string& words, const std::string& path,
                    const std::string& repair) {
  return absl::DataLossError(absl::StrCat(
      what,
      " It is not mounted, and nothing was repaired that could lose data. Last words: ", words,
      ". To mend it: stop the pods that use it, copy ", path, ", then run on this node: ", repair));
}

}  // namespace

absl::StatusOr<std::string> FilesystemCheck::CorrectExt4(const CallContext& context, bool force) {
  std::vector<std::string> argv = {"e2fsck", "-p", device_};
  if (force) argv.insert(argv.begin() + 1, "-f");
  ASHLAR_ASSIGN_OR_RETURN(const sys::CommandResult result, commands_.Run(context, argv));
  if ((result.exit_code & ~(kCorrected | kLeft)) != 0) return sys::ExpectSuccess(argv, result);
  if ((result.exit_code & kLeft) != 0)
    return Broken("The ext4 filesystem has errors that e2fsck -p does not mend.", LastWords(result),
                  path_, absl::StrCat("e2fsck -f ", path_));
  if (result.exit_code == 0) return std::string();
  return absl::StrCat("e2fsck corrected the filesystem before it was mounted: ", LastWords(result));
}

absl::Status FilesystemCheck::ExplainXfs(const CallContext& context, const absl::Status& mounted) {
  // Codes that speak of the mount point or the moment are not about the filesystem.
  if (mounted.ok() || !absl::IsInternal(mounted)) return mounted;
  const absl::StatusOr<sys::CommandResult> result =
      commands_.Run(context, {"xfs_repair", "-n", device_});
  if (!result.ok()) return mounted;
  // With changes in the log the rest of what it finds is not to be trusted.
  if (absl::StrContains(absl::StrCat(result->out, result->err), "metadata changes in a log"))
    return Broken(
        "The log of the XFS filesystem cannot be replayed.", std::string(mounted.message()), path_,
        absl::StrCat("xfs_repair ", path_,
                     " (only if it refuses, xfs_repair -L, which drops the last changes)"));
  if (result->exit_code != kDamaged) return mounted;
  return Broken("The XFS filesystem is damaged.",
                absl::StrCat(std::string(mounted.message()), "; ", LastWords(*result)), path_,
                absl::StrCat("xfs_repair ", path_));
}

}  // namespace ashlar::node_agent
