// FieldOwnership: which field manager applied which fields of one object, and the merge that
// server-side apply makes of it. Lists of objects are merged by the first of the keys type, node,
// id, name, uid that all their elements have; metadata.finalizers as a set; other lists whole.
// Simpler than the real thing: an update takes fields away from their appliers, but owns none
// itself. Not thread-safe.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/base/json.h"

namespace ashlar::kube {

class FieldOwnership {
 public:
  // `live` as it is after `manager` has applied `applied`. Aborted, unless `force`, if it would
  // change a field that another manager applied; the message names both.
  absl::StatusOr<Json> Apply(const Json& live, const Json& applied, const std::string& manager,
                             bool force);

  // What a write without apply has changed belongs to no applier any more.
  void NoteUpdate(const Json& before, const Json& after);

 private:
  // A field's path: names of members, or [key=value] for an element of a list.
  using Path = std::vector<std::string>;
  std::map<std::string, std::set<Path>> owned_;  // by manager
};

}  // namespace ashlar::kube
