// Json: a JSON value (nlohmann::json), parsed without exceptions, and safe ways to look into values
// whose shape is not known. None of these functions throws.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "nlohmann/json.hpp"

namespace ashlar {

using Json = nlohmann::json;

// InvalidArgument, with the byte position, if `text` is not one JSON value in UTF-8.
absl::StatusOr<Json> ParseJson(absl::string_view text);

// One line of JSON. Bytes that are not UTF-8 are replaced by U+FFFD.
std::string DumpJson(const Json& value);

// The value below `value` that the keys lead to, or nullptr: FindJson(pod, {"status", "podIP"}).
const Json* FindJson(const Json& value, std::initializer_list<absl::string_view> keys);

// The string at the keys, or "" if it is absent or not a string.
std::string JsonString(const Json& value, std::initializer_list<absl::string_view> keys);

// The strings of the array at the keys; what is none is left out.
std::vector<std::string> JsonStrings(const Json& value,
                                     std::initializer_list<absl::string_view> keys);

// The integer at the keys, or `otherwise` if it is absent or not an integer.
int64_t JsonInt(const Json& value, std::initializer_list<absl::string_view> keys,
                int64_t otherwise = 0);

}  // namespace ashlar
