#include "absl/strings/str_cat.h"
#include "lib/schema/node.h"

namespace ashlar::schema {
namespace {

// The element of `list` with the same keys as `element`, or null.
const Json* SameElement(const SchemaNode& node, const Json& list, const Json& element) {
  const Json key = ListMapKey(node, element);
  for (const Json& other : list) {
    if (other.is_object() && ListMapKey(node, other) == key) return &other;
  }
  return nullptr;
}

// Scalars are quoted in the message, objects and lists are not.
FieldError Broken(const NodeRule& rule, const Json& value, const std::string& path,
                  const std::string& message) {
  const std::string quoted =
      value.is_structured() || !rule.field_path.empty() ? "" : absl::StrCat(DumpJson(value), ": ");
  std::string text = absl::StrCat("Invalid value: ", quoted, message);
  if (rule.reason == "FieldValueForbidden") text = absl::StrCat("Forbidden: ", message);
  if (rule.reason == "FieldValueRequired") text = absl::StrCat("Required value: ", message);
  std::string field = absl::StrCat(path, rule.field_path);
  if (path.empty() && !field.empty()) field.erase(0, 1);
  return {std::move(field), rule.reason, std::move(text)};
}

const Json* OldMember(const Json* old, const std::string& key) {
  return old == nullptr ? nullptr : FindJson(*old, {key});
}

}  // namespace

Json ListMapKey(const SchemaNode& list, const Json& element) {
  Json key = Json::object();
  for (const std::string& name : list.list_map_keys) {
    if (const Json* value = FindJson(element, {name}); value != nullptr) {
      key[name] = *value;
    } else if (list.items != nullptr) {
      const auto property = list.items->properties.find(name);
      if (property != list.items->properties.end() && property->second.default_value)
        key[name] = *property->second.default_value;
    }
  }
  return key;
}

void EvaluateRules(const SchemaNode& node, const Json& value, const Json* old,
                   const std::string& path, std::vector<FieldError>& errors) {
  if (value.is_null()) return;
  for (const NodeRule& rule : node.rules) {
    if (rule.rule.uses_old_self() && old == nullptr) continue;
    const absl::StatusOr<bool> holds = rule.rule.Holds(value, old);
    if (!holds.ok()) {
      errors.push_back(
          Broken(rule, value, path,
                 absl::StrCat(holds.status().message(), " evaluating rule: ", rule.message)));
    } else if (!*holds) {
      errors.push_back(Broken(rule, value, path, rule.message));
    }
  }
  if (value.is_object()) {
    for (const auto& [key, member] : value.items()) {
      const auto property = node.properties.find(key);
      const SchemaNode* below =
          property != node.properties.end() ? &property->second : node.additional.get();
      if (below != nullptr)
        EvaluateRules(*below, member, OldMember(old, key), Member(path, key), errors);
    }
  }
  if (value.is_array() && node.items != nullptr) {
    const bool is_map = node.list_type == "map" && old != nullptr && old->is_array();
    for (size_t i = 0; i < value.size(); ++i) {
      const Json* before = is_map ? SameElement(node, *old, value[i]) : nullptr;
      EvaluateRules(*node.items, value[i], before, Element(path, i), errors);
    }
  }
}

}  // namespace ashlar::schema
