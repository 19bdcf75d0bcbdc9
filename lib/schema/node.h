// A compiled schema: one Node for each object of the OpenAPI schema. Internal to lib/schema.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "lib/schema/cel.h"
#include "lib/schema/schema.h"
#include "re2/re2.h"

namespace ashlar::schema {

struct NodeRule {
  Rule rule;
  std::string message;
  std::string field_path;  // such as .mode, appended to the path of the value
  std::string reason;      // such as FieldValueInvalid
};

struct SchemaNode {
  std::string type;  // object, array, string, integer, number, boolean; empty: any
  std::string format;
  bool int_or_string = false;
  bool nullable = false;
  bool preserve_unknown = false;
  bool embedded_resource = false;

  std::map<std::string, SchemaNode> properties;
  std::unique_ptr<SchemaNode> additional;  // additionalProperties as a schema
  bool additional_any = false;             // additionalProperties: true
  std::unique_ptr<SchemaNode> items;
  std::vector<std::string> required;
  std::optional<Json> default_value;

  std::vector<Json> enumeration;
  std::unique_ptr<RE2> pattern;
  std::optional<double> minimum, maximum, multiple_of;
  bool exclusive_minimum = false, exclusive_maximum = false;
  std::optional<int64_t> min_length, max_length, min_items, max_items, min_properties,
      max_properties;
  bool unique_items = false;
  std::string list_type;
  std::vector<std::string> list_map_keys;
  std::vector<SchemaNode> all_of, any_of, one_of;
  std::unique_ptr<SchemaNode> negated;

  std::vector<NodeRule> rules;
};

struct Schema::Impl {
  SchemaNode root;
};

// InvalidArgument names the place, which starts with `path`.
absl::StatusOr<SchemaNode> CompileNode(const Json& schema, const std::string& path);

// The errors of `value` against `node`, rules not included. `path` is empty for the root.
void ValidateNode(const SchemaNode& node, const Json& value, const std::string& path,
                  std::vector<FieldError>& errors);

// The errors of the rules of `node` and of everything below it. `old` is null where there is no
// value that corresponds to this one.
void EvaluateRules(const SchemaNode& node, const Json& value, const Json* old,
                   const std::string& path, std::vector<FieldError>& errors);

std::string Member(const std::string& path, const std::string& key);
std::string Element(const std::string& path, size_t index);

// The values of an element under the keys of its map list; absent keys are left out.
Json ListMapKey(const SchemaNode& list, const Json& element);

}  // namespace ashlar::schema
