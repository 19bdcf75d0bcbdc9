// ApiPath: what a request of the Kubernetes API is about, read from its path and query. A value.
#pragma once

#include <map>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace ashlar::standalone {

struct ApiPath {
  std::string path;                          // decoded
  std::map<std::string, std::string> query;  // decoded; of several values the last

  // What follows is set if the path is below /api/v1 or /apis/GROUP/VERSION and names a resource.
  bool is_resource = false;
  bool old_watch = false;  // /api/v1/watch/...
  std::string group;
  std::string version;
  std::string space;
  std::string plural;
  std::string name;
  std::string subresource;

  std::string Query(const std::string& key) const;
  // "1" and "true"; anything else is false.
  bool Flag(const std::string& key) const;
};

// InvalidArgument if an escape is broken.
absl::StatusOr<ApiPath> ParseApiPath(absl::string_view target);

}  // namespace ashlar::standalone
