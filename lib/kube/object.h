// What every Kubernetes object has, read from its JSON without trusting its shape. No state.
#pragma once

#include <string>

#include "absl/strings/string_view.h"
#include "lib/api/kind_info.h"
#include "lib/base/json.h"

namespace ashlar::kube {

// An empty name if the object has none.
inline api::ObjectKey KeyOf(const Json& object) {
  return {JsonString(object, {"metadata", "namespace"}), JsonString(object, {"metadata", "name"})};
}

inline std::string VersionOf(const Json& object) {
  return JsonString(object, {"metadata", "resourceVersion"});
}

inline bool IsBeingDeleted(const Json& object) {
  return !JsonString(object, {"metadata", "deletionTimestamp"}).empty();
}

// An answer to the write that took the last finalizer off: the object has left the store. Pods,
// which live on for their grace period without finalizers, are not meant.
inline bool HasEnded(const Json& object) {
  if (!IsBeingDeleted(object)) return false;
  const Json* finalizers = FindJson(object, {"metadata", "finalizers"});
  if (finalizers != nullptr && !finalizers->empty()) return false;
  const Json* grace = FindJson(object, {"metadata", "deletionGracePeriodSeconds"});
  return grace == nullptr || *grace == 0;
}

// Less than, equal to or greater than zero as the resourceVersion `a` is older than, the same as or
// newer than `b`, of one kind on one server. Resource versions are decimal numbers that grow
// (KEP-5504); an empty one is older than all.
inline int CompareVersions(absl::string_view a, absl::string_view b) {
  if (a.size() != b.size()) return a.size() < b.size() ? -1 : 1;
  return a.compare(b);
}

}  // namespace ashlar::kube
