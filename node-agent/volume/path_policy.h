// PathPolicy: below which directories volumes may be mounted. Thread-safe.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace ashlar::node_agent {

class PathPolicy {
 public:
  // `roots` are absolute directories of the administrator's choice; they may be symbolic links.
  explicit PathPolicy(std::vector<std::string> roots) : roots_(std::move(roots)) {}

  // The path with its root resolved, as the kernel lists it. InvalidArgument, naming `field`,
  // unless `path` is absolute, has no "." or ".." or empty parts, and lies below a root. Symbolic
  // links further down are refused by the mount table.
  absl::StatusOr<std::string> Resolve(absl::string_view field, const std::string& path) const;

 private:
  const std::vector<std::string> roots_;
};

}  // namespace ashlar::node_agent
