// Registry: which kinds are served now. Thread-safe.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "lib/base/mutex.h"
#include "standalone/resource.h"

namespace ashlar::standalone {

class Registry {
 public:
  // Serves these versions of a kind, and no others of it.
  void Put(const std::vector<ResourcePtr>& resources);
  void Remove(const std::string& group, const std::string& plural);

  // nullptr if nothing is served there.
  ResourcePtr Find(const std::string& group, const std::string& version,
                   const std::string& plural) const;
  // Any version; nullptr if the kind is not served.
  ResourcePtr FindKind(const std::string& group, const std::string& kind) const;
  // By group, then version, then plural.
  std::vector<ResourcePtr> All() const;
  // Grows with each change.
  int64_t Revision() const;

 private:
  struct Place {
    std::string group, version, plural;
    friend auto operator<=>(const Place&, const Place&) = default;
  };
  mutable Mutex mu_;
  std::map<Place, ResourcePtr> resources_ ABSL_GUARDED_BY(mu_);
  int64_t revision_ ABSL_GUARDED_BY(mu_) = 1;
};

}  // namespace ashlar::standalone
