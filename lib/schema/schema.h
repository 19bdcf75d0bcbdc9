// Schema: what an API server does with the openAPIV3Schema of a CustomResourceDefinition: prune
// what it does not know, fill in defaults, validate, and evaluate the rules in the Common
// Expression Language (x-kubernetes-validations). A value, cheap to copy; thread-safe once made.
// Follows
// https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/base/json.h"

namespace ashlar::schema {

// One entry of status.details.causes of a 422 answer.
struct FieldError {
  std::string field;    // such as spec.nodes[0].size; empty: the object itself
  std::string reason;   // FieldValueInvalid, FieldValueRequired, FieldValueNotSupported, ...
  std::string message;  // such as `Invalid value: "x": must be at least 1 chars long`

  // As kubectl shows it: field, colon, message.
  std::string ToString() const;
};

class Schema {
 public:
  // InvalidArgument names the place in the schema and what is wrong there: an unknown type, a
  // pattern that does not compile, a rule that is not CEL or uses what this interpreter lacks.
  static absl::StatusOr<Schema> Compile(const Json& open_api_v3_schema);

  // Removes every field that the schema does not know, except below
  // x-kubernetes-preserve-unknown-fields. At the root, apiVersion, kind and metadata stay whole.
  // Returns the paths of what was removed, for warnings and for strict field validation.
  std::vector<std::string> Prune(Json& object) const;

  // Fills in the default of every absent field whose parent is there.
  void ApplyDefaults(Json& object) const;

  // Everything that is wrong with `object`, empty if nothing is. With `old`, the object as it is
  // stored, transition rules (those that say oldSelf) are evaluated, too. metadata is not looked
  // into. Rules are evaluated only where the values have the types that the schema says.
  std::vector<FieldError> Validate(const Json& object, const Json* old) const;

 private:
  struct Impl;
  explicit Schema(std::shared_ptr<const Impl> impl) : impl_(std::move(impl)) {}
  std::shared_ptr<const Impl> impl_;
};

}  // namespace ashlar::schema
