// The syntax tree of a rule in the Common Expression Language. Internal to lib/schema.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "lib/base/json.h"

namespace ashlar::schema::cel {

struct Node {
  enum class Kind {
    kLiteral,     // literal
    kIdentifier,  // name
    kSelect,      // children[0].name
    kHas,         // has(children[0].name)
    kIndex,       // children[0][children[1]]
    kCall,        // name(children...)
    kMethod,      // children[0].name(children[1]...)
    kMacro,       // children[0].name(variable, children[1])
    kOperator,    // name is the operator; one, two or (for ?) three children
    kList,        // [children...]
    kMap,         // {children[0]: children[1], ...}
  };
  Kind kind = Kind::kLiteral;
  std::string name;
  std::string variable;
  Json literal;
  std::vector<std::unique_ptr<Node>> children;
};

// InvalidArgument says where the text stops being CEL, or which part of CEL is not supported:
// unsigned numbers, bytes, optional values, and functions other than those in functions.h.
absl::StatusOr<std::unique_ptr<Node>> Parse(absl::string_view source);

}  // namespace ashlar::schema::cel
