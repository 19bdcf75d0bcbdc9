// Rule: one expression of the Common Expression Language (https://cel.dev), as
// x-kubernetes-validations has it, in the subset that cel_functions.h and cel_ast.h describe. What
// is outside of the subset is refused when the rule is made, not when it is evaluated. Types are
// checked when it is evaluated. A value; thread-safe once made.
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "lib/base/json.h"

namespace ashlar::schema {

namespace cel {
struct Node;
}

class Rule {
 public:
  // InvalidArgument says where and why `source` is not a rule.
  static absl::StatusOr<Rule> Compile(absl::string_view source);

  // A transition rule: it can only be evaluated with an old value.
  bool uses_old_self() const { return uses_old_self_; }

  // InvalidArgument if a member is absent, types do not fit, or the result is not a boolean;
  // ResourceExhausted after 1,000,000 steps. `old_self` may be null if uses_old_self() is false.
  absl::StatusOr<bool> Holds(const Json& self, const Json* old_self) const;

 private:
  std::shared_ptr<const cel::Node> root_;
  bool uses_old_self_ = false;
};

}  // namespace ashlar::schema
