// How a plain (unquoted) YAML scalar becomes a JSON value. Internal to lib/yaml.
#pragma once

#include "absl/strings/string_view.h"
#include "lib/base/json.h"

namespace ashlar::yaml {

// Null, boolean, integer, number or, if it is none of these, the text itself. Numbers are decimal,
// 0x, 0o, 0b or, with a leading 0, octal as in YAML 1.1. .inf and .nan give the floating-point
// value, which JSON cannot say.
Json ResolvePlainScalar(absl::string_view text);

}  // namespace ashlar::yaml
