// What server-side apply does with values of which the schema is known: which lists are maps, sets
// or atomic (x-kubernetes-list-type), which maps are (x-kubernetes-map-type). Where the schema says
// nothing, maps are merged by key and lists are atomic. The rules are those of
// sigs.k8s.io/structured-merge-diff. No state.
#pragma once

#include "absl/status/status.h"
#include "lib/base/json.h"
#include "standalone/field_set.h"

namespace ashlar::standalone {

// The schema of a whole object: that of a CRD version, with the schema of metadata put in.
Json WithMetadata(Json schema);

// InvalidArgument if an item of a map list lacks a key or two items have the same one.
absl::Status CheckLists(const Json& value, const Json& schema);

// The fields that `value` gives an opinion about.
FieldSet FieldsOf(const Json& value, const Json& schema);

struct Difference {
  FieldSet changed;  // added, or with another value
  FieldSet removed;
};
// `before` may be nullptr: everything is added.
Difference Compare(const Json* before, const Json& after, const Json& schema);

// `live` with every opinion of `applied` put in.
Json Merge(const Json& live, const Json& applied, const Json& schema);

// `value` without the fields of `fields`, except where `kept` holds something at or below. Maps
// that become empty by it go too.
Json Without(const Json& value, const FieldSet& fields, const FieldSet& kept, const Json& schema);

}  // namespace ashlar::standalone
