// OfferedVolumes: which Volumes claims may be given or hold, by node: an index over the cache of
// Volumes, so that nobody looks through all of them for each node. Thread-safe.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "ashlar/v1alpha1/volume.pb.h"
#include "lib/base/mutex.h"
#include "lib/runtime/cache.h"

namespace ashlar::controller {

class OfferedVolumes {
 public:
  // `volumes` must outlive it.
  explicit OfferedVolumes(const runtime::Cache& volumes) : volumes_(volumes) {}

  // The Volume changed, appeared or went. The node to which that matters; empty: to none.
  std::string Note(const api::ObjectKey& volume);
  // Volumes of the node that bear an offer. Those that cannot be read are left out.
  std::vector<v1alpha1::Volume> On(const std::string& node) const;
  // The one of the node that the device stands for.
  std::optional<v1alpha1::Volume> Find(const std::string& node, const std::string& device) const;

 private:
  const runtime::Cache& volumes_;
  mutable Mutex mu_;
  struct Seen {
    std::string node;
    std::string matters;  // what of the Volume does
  };
  std::map<std::string, Seen> seen_ ABSL_GUARDED_BY(mu_);  // by name
};

}  // namespace ashlar::controller
