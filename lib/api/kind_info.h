// KindInfo: how a kind of the Kubernetes API is addressed. ObjectKey: how one object of a kind is.
#pragma once

#include <compare>
#include <string>

#include "absl/strings/str_cat.h"

namespace ashlar::api {

struct KindInfo {
  std::string group;    // empty for the core group
  std::string version;  // such as v1alpha1
  std::string kind;     // such as Pool
  std::string plural;   // such as pools
  bool namespaced = false;

  std::string ApiVersion() const {
    return group.empty() ? version : absl::StrCat(group, "/", version);
  }
  friend bool operator==(const KindInfo&, const KindInfo&) = default;
};

struct ObjectKey {
  std::string space;  // the namespace; empty for cluster-scoped objects
  std::string name;

  std::string ToString() const { return space.empty() ? name : absl::StrCat(space, "/", name); }
  friend auto operator<=>(const ObjectKey&, const ObjectKey&) = default;
  template <typename H>
  friend H AbslHashValue(H h, const ObjectKey& key) {
    return H::combine(std::move(h), key.space, key.name);
  }
};

}  // namespace ashlar::api
