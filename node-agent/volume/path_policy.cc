#include "node-agent/volume/path_policy.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "lib/base/status_macros.h"
#include "lib/system/files.h"

namespace ashlar::node_agent {

absl::StatusOr<std::string> PathPolicy::Resolve(absl::string_view field,
                                                const std::string& path) const {
  const auto invalid = [&](absl::string_view accepted) {
    return absl::InvalidArgumentError(
        absl::StrCat(field, " is \"", path.substr(0, 4096), "\": ", accepted));
  };
  if (path.empty() || path[0] != '/' || path.size() > 4095 || absl::StrContains(path, '\0'))
    return invalid("an absolute path of at most 4095 bytes is accepted");
  for (const absl::string_view part : absl::StrSplit(path.substr(1), '/'))
    if (part.empty() || part == "." || part == "..")
      return invalid("no empty, \".\" or \"..\" parts are accepted");
  for (const std::string& root : roots_) {
    const std::string prefix = absl::StrCat(absl::StripSuffix(root, "/"), "/");
    if (!absl::StartsWith(path, prefix)) continue;
    const absl::StatusOr<std::string> real = sys::RealPath(root);
    if (absl::IsNotFound(real.status())) return path;  // made together with the target
    ASHLAR_RETURN_IF_ERROR(real.status());
    return absl::StrCat(absl::StripSuffix(*real, "/"), "/", path.substr(prefix.size()));
  }
  return invalid(absl::StrCat("must lie below ", absl::StrJoin(roots_, " or ")));
}

}  // namespace ashlar::node_agent
