#include "lib/schema/schema.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "lib/base/status_macros.h"
#include "lib/schema/node.h"

namespace ashlar::schema {
namespace {

// What the API server itself defines at the root of an object and of an embedded one.
bool IsObjectMeta(const std::string& key) {
  return key == "apiVersion" || key == "kind" || key == "metadata";
}

// The schema of a member, or null if there is none.
const SchemaNode* MemberNode(const SchemaNode& node, const std::string& key) {
  const auto property = node.properties.find(key);
  return property != node.properties.end() ? &property->second : node.additional.get();
}

void PruneNode(const SchemaNode& node, bool resource, Json& value, const std::string& path,
               std::vector<std::string>& removed) {
  if (value.is_array() && node.items != nullptr) {
    for (size_t i = 0; i < value.size(); ++i)
      PruneNode(*node.items, node.items->embedded_resource, value[i], Element(path, i), removed);
  }
  if (!value.is_object()) return;
  for (auto member = value.begin(); member != value.end();) {
    const SchemaNode* below = MemberNode(node, member.key());
    const bool meta = resource && IsObjectMeta(member.key());
    if (below == nullptr && !meta && !node.preserve_unknown && !node.additional_any) {
      removed.push_back(Member(path, member.key()));
      member = value.erase(member);
      continue;
    }
    if (below != nullptr && !meta)
      PruneNode(*below, below->embedded_resource, *member, Member(path, member.key()), removed);
    ++member;
  }
}

void DefaultNode(const SchemaNode& node, Json& value) {
  if (value.is_array() && node.items != nullptr) {
    for (Json& element : value) DefaultNode(*node.items, element);
  }
  if (!value.is_object()) return;
  for (const auto& [key, below] : node.properties) {
    // Null stands for absent unless the schema allows it.
    const auto member = value.find(key);
    if (member != value.end() && member->is_null() && !below.nullable) value.erase(member);
    if (below.default_value.has_value() && !value.contains(key)) value[key] = *below.default_value;
  }
  for (const auto& [key, member] : value.items()) {
    if (const SchemaNode* below = MemberNode(node, key); below != nullptr)
      DefaultNode(*below, member);
  }
}

// After one of these a rule might meet a value that is not what its author could expect.
bool BlocksRules(const FieldError& error) {
  const std::string& reason = error.reason;
  return reason == "FieldValueRequired" || reason == "FieldValueNotSupported" ||
         reason == "FieldValueTypeInvalid" || reason == "FieldValueTooLong" ||
         reason == "FieldValueTooMany";
}

}  // namespace

std::string FieldError::ToString() const {
  return field.empty() ? message : absl::StrCat(field, ": ", message);
}

absl::StatusOr<Schema> Schema::Compile(const Json& open_api_v3_schema) {
  auto impl = std::make_shared<Impl>();
  ASHLAR_ASSIGN_OR_RETURN(impl->root, CompileNode(open_api_v3_schema, "openAPIV3Schema"));
  // The server looks after these itself.
  impl->root.properties.erase("metadata");
  return Schema(std::move(impl));
}

std::vector<std::string> Schema::Prune(Json& object) const {
  std::vector<std::string> removed;
  PruneNode(impl_->root, true, object, "", removed);
  return removed;
}

void Schema::ApplyDefaults(Json& object) const { DefaultNode(impl_->root, object); }

std::vector<FieldError> Schema::Validate(const Json& object, const Json* old) const {
  std::vector<FieldError> errors;
  ValidateNode(impl_->root, object, "", errors);
  if (std::none_of(errors.begin(), errors.end(), BlocksRules))
    EvaluateRules(impl_->root, object, old, "", errors);
  return errors;
}

}  // namespace ashlar::schema
