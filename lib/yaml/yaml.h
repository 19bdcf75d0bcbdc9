// YAML as Kubernetes means it: another way to write JSON. The only door to yaml-cpp. Thread-safe.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "lib/base/json.h"

namespace ashlar {

// The one document of `text`; null if there is none. Plain scalars are resolved as kubectl does
// (YAML 1.1: yes, no, on and off are booleans too); keys are strings. InvalidArgument, with line
// and column, for what is not YAML or cannot be JSON: several documents, a key that stands twice,
// a key that is not a scalar, .inf and .nan, a merge key, unknown tags, more than 100 levels, and
// aliases that unfold to more than 200,000 values.
absl::StatusOr<Json> ParseYaml(absl::string_view text);

// Every document of `text`, in order, without the empty ones.
absl::StatusOr<std::vector<Json>> ParseYamlDocuments(absl::string_view text);

// Block style, keys sorted, one newline at the end. ParseYaml gives the same value back.
std::string FormatYaml(const Json& value);

}  // namespace ashlar
