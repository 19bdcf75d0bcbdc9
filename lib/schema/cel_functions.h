// The functions, methods and operators that rules may use. Internal to lib/schema. Thread-safe.
//
// Functions: size, string, int, double, quantity, isQuantity, sign. Methods of strings: startsWith,
// endsWith, contains, matches, size; of lists and maps: size; of quantities: isGreaterThan,
// isLessThan, compareTo, add, sub, isInteger, asInteger, asApproximateFloat. Macros of lists
// and maps: all, exists, exists_one, filter, map.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "lib/schema/cel_value.h"

namespace ashlar::schema::cel {

bool IsFunction(absl::string_view name, size_t arguments);
bool IsMethod(absl::string_view name, size_t arguments);
bool IsMacro(absl::string_view name);

// InvalidArgument if the values have types that the function does not take, or the result does not
// fit. `name` has passed the test above.
absl::StatusOr<Value> CallFunction(absl::string_view name, const std::vector<Value>& arguments);
absl::StatusOr<Value> CallMethod(absl::string_view name, const Value& receiver,
                                 const std::vector<Value>& arguments);
// The operators with two sides, without && and ||.
absl::StatusOr<Value> ApplyOperator(absl::string_view symbol, const Value& left,
                                    const Value& right);

}  // namespace ashlar::schema::cel
