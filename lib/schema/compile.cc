#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "lib/base/status_macros.h"
#include "lib/schema/node.h"

namespace ashlar::schema {
namespace {

constexpr int kMaxDepth = 100;

class Compiler {
 public:
  absl::StatusOr<SchemaNode> Compile(const Json& schema, const std::string& path) {
    if (!schema.is_object()) return Refuse(path, "must be an object");
    if (++depth_ > kMaxDepth) return Refuse(path, "has more than 100 levels");
    SchemaNode node;
    ASHLAR_RETURN_IF_ERROR(Scalars(schema, path, node));
    ASHLAR_RETURN_IF_ERROR(Bounds(schema, path, node));
    ASHLAR_RETURN_IF_ERROR(Children(schema, path, node));
    ASHLAR_RETURN_IF_ERROR(Combinations(schema, path, node));
    ASHLAR_RETURN_IF_ERROR(Rules(schema, path, node));
    --depth_;
    return node;
  }

 private:
  static absl::Status Refuse(const std::string& path, absl::string_view why) {
    return absl::InvalidArgumentError(absl::StrCat("schema: ", path, ": ", why));
  }

  static bool Flag(const Json& schema, const char* key) {
    const Json* found = FindJson(schema, {key});
    return found != nullptr && found->is_boolean() && found->get<bool>();
  }

  static absl::Status Texts(const Json& schema, const char* key, const std::string& path,
                            std::vector<std::string>& out) {
    const Json* found = FindJson(schema, {key});
    if (found == nullptr) return absl::OkStatus();
    if (!found->is_array()) return Refuse(Member(path, key), "must be an array of strings");
    for (const Json& text : *found) {
      if (!text.is_string()) return Refuse(Member(path, key), "must be an array of strings");
      out.push_back(text.get<std::string>());
    }
    return absl::OkStatus();
  }

  static absl::Status Scalars(const Json& schema, const std::string& path, SchemaNode& node) {
    node.type = JsonString(schema, {"type"});
    node.format = JsonString(schema, {"format"});
    node.list_type = JsonString(schema, {"x-kubernetes-list-type"});
    node.int_or_string = Flag(schema, "x-kubernetes-int-or-string");
    node.preserve_unknown = Flag(schema, "x-kubernetes-preserve-unknown-fields");
    node.embedded_resource = Flag(schema, "x-kubernetes-embedded-resource");
    node.nullable = Flag(schema, "nullable");
    node.unique_items = Flag(schema, "uniqueItems");
    for (absl::string_view type :
         {"", "object", "array", "string", "integer", "number", "boolean"}) {
      if (node.type != type) continue;
      ASHLAR_RETURN_IF_ERROR(Texts(schema, "required", path, node.required));
      ASHLAR_RETURN_IF_ERROR(Texts(schema, "x-kubernetes-list-map-keys", path, node.list_map_keys));
      return Values(schema, path, node);
    }
    return Refuse(Member(path, "type"), absl::StrCat("\"", node.type, "\" is not known"));
  }

  static absl::Status Values(const Json& schema, const std::string& path, SchemaNode& node) {
    if (schema.contains("default")) node.default_value = schema["default"];
    if (const Json* values = FindJson(schema, {"enum"}); values != nullptr && values->is_array())
      node.enumeration.assign(values->begin(), values->end());
    if (const std::string pattern = JsonString(schema, {"pattern"}); !pattern.empty()) {
      node.pattern = std::make_unique<RE2>(pattern, RE2::Quiet);
      if (!node.pattern->ok()) return Refuse(Member(path, "pattern"), node.pattern->error());
    }
    return absl::OkStatus();
  }

  static absl::Status Bounds(const Json& schema, const std::string& path, SchemaNode& node) {
    const std::pair<const char*, std::optional<int64_t>*> integers[] = {
        {"minLength", &node.min_length},         {"maxLength", &node.max_length},
        {"minItems", &node.min_items},           {"maxItems", &node.max_items},
        {"minProperties", &node.min_properties}, {"maxProperties", &node.max_properties}};
    for (const auto& [key, out] : integers) {
      if (!schema.contains(key)) continue;
      if (!schema[key].is_number_integer()) return Refuse(Member(path, key), "must be an integer");
      *out = schema[key].get<int64_t>();
    }
    const std::pair<const char*, std::optional<double>*> numbers[] = {
        {"minimum", &node.minimum}, {"maximum", &node.maximum}, {"multipleOf", &node.multiple_of}};
    for (const auto& [key, out] : numbers) {
      if (!schema.contains(key)) continue;
      if (!schema[key].is_number()) return Refuse(Member(path, key), "must be a number");
      *out = schema[key].get<double>();
    }
    node.exclusive_minimum = Flag(schema, "exclusiveMinimum");
    node.exclusive_maximum = Flag(schema, "exclusiveMaximum");
    return absl::OkStatus();
  }

  absl::Status Children(const Json& schema, const std::string& path, SchemaNode& node) {
    if (const Json* properties = FindJson(schema, {"properties"}); properties != nullptr) {
      if (!properties->is_object()) return Refuse(Member(path, "properties"), "must be an object");
      for (const auto& [name, property] : properties->items()) {
        ASHLAR_ASSIGN_OR_RETURN(node.properties[name], Compile(property, Member(path, name)));
      }
    }
    if (const Json* items = FindJson(schema, {"items"}); items != nullptr) {
      ASHLAR_ASSIGN_OR_RETURN(SchemaNode below, Compile(*items, Member(path, "items")));
      node.items = std::make_unique<SchemaNode>(std::move(below));
    }
    const Json* additional = FindJson(schema, {"additionalProperties"});
    if (additional == nullptr) return absl::OkStatus();
    if (additional->is_boolean()) {
      node.additional_any = additional->get<bool>();
      return absl::OkStatus();
    }
    ASHLAR_ASSIGN_OR_RETURN(SchemaNode below,
                            Compile(*additional, Member(path, "additionalProperties")));
    node.additional = std::make_unique<SchemaNode>(std::move(below));
    return absl::OkStatus();
  }

  absl::Status Combinations(const Json& schema, const std::string& path, SchemaNode& node) {
    const std::pair<const char*, std::vector<SchemaNode>*> lists[] = {
        {"allOf", &node.all_of}, {"anyOf", &node.any_of}, {"oneOf", &node.one_of}};
    for (const auto& [key, out] : lists) {
      const Json* list = FindJson(schema, {key});
      if (list == nullptr) continue;
      if (!list->is_array()) return Refuse(Member(path, key), "must be an array");
      for (const Json& part : *list) {
        ASHLAR_ASSIGN_OR_RETURN(SchemaNode below, Compile(part, Member(path, key)));
        out->push_back(std::move(below));
      }
    }
    if (const Json* negated = FindJson(schema, {"not"}); negated != nullptr) {
      ASHLAR_ASSIGN_OR_RETURN(SchemaNode below, Compile(*negated, Member(path, "not")));
      node.negated = std::make_unique<SchemaNode>(std::move(below));
    }
    return absl::OkStatus();
  }

  static absl::Status Rules(const Json& schema, const std::string& path, SchemaNode& node) {
    const Json* rules = FindJson(schema, {"x-kubernetes-validations"});
    if (rules == nullptr) return absl::OkStatus();
    const std::string where = Member(path, "x-kubernetes-validations");
    if (!rules->is_array()) return Refuse(where, "must be an array");
    for (const Json& json : *rules) {
      const std::string source = JsonString(json, {"rule"});
      for (const char* key : {"messageExpression", "optionalOldSelf"}) {
        if (FindJson(json, {key}) != nullptr)
          return Refuse(where, absl::StrCat(key, " is not supported"));
      }
      absl::StatusOr<Rule> rule = Rule::Compile(source);
      if (!rule.ok())
        return Refuse(where, absl::StrCat("rule \"", source, "\": ", rule.status().message()));
      NodeRule made{*std::move(rule), JsonString(json, {"message"}),
                    JsonString(json, {"fieldPath"}), JsonString(json, {"reason"})};
      if (made.message.empty()) made.message = absl::StrCat("failed rule: ", source);
      if (made.reason.empty()) made.reason = "FieldValueInvalid";
      node.rules.push_back(std::move(made));
    }
    return absl::OkStatus();
  }

  int depth_ = 0;
};

}  // namespace

std::string Member(const std::string& path, const std::string& key) {
  return path.empty() ? key : absl::StrCat(path, ".", key);
}

std::string Element(const std::string& path, size_t index) {
  return absl::StrCat(path, "[", index, "]");
}

absl::StatusOr<SchemaNode> CompileNode(const Json& schema, const std::string& path) {
  return Compiler().Compile(schema, path);
}

}  // namespace ashlar::schema
