// The C++ side of the API kinds. The types are the proto messages of proto/ashlar/v1alpha1; the
// functions here are made for each of them by protoc-gen-ashlar and turn them into Kubernetes JSON
// and back: lowerCamelCase names, quantities as quantities, times in RFC 3339, absent optional
// fields left out. Include lib/api/kinds.h, which declares the specialisations. Thread-safe, no
// state.
#pragma once

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "lib/api/kind_info.h"
#include "lib/base/json.h"

namespace ashlar::api {

// How objects of the kind T are addressed. Specialised for every message with the option
// (ashlar.k8s.kind).
template <class T>
const KindInfo& Kind();

// The CustomResourceDefinition of the kind as JSON text; deploy/crds has the same as YAML.
template <class T>
absl::string_view CrdJson();

// InvalidArgument names the field by its JSON path, the value and what would be accepted. Unknown
// fields are skipped.
template <class T>
absl::StatusOr<T> FromJson(const Json& json);

// With apiVersion and kind for kinds.
template <class T>
Json ToJson(const T& value);

// Writes what `value` says into `base` and leaves every field of `base` that T does not know, also
// inside the elements of map lists, which are matched by their keys: so a read-modify-write by an
// older version loses nothing of a newer one. A known field that is unset in `value` is removed.
template <class T>
void MergeIntoJson(const T& value, Json& base);

}  // namespace ashlar::api
