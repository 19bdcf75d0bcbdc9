#include <algorithm>
#include <cmath>
#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "lib/api/rfc3339.h"
#include "lib/schema/node.h"

namespace ashlar::schema {
namespace {

// Collects the errors of one value, in the words of kube-apiserver.
class Reporter {
 public:
  Reporter(const Json& value, const std::string& path, std::vector<FieldError>& errors)
      : value_(value), path_(path), errors_(errors) {}

  void Invalid(absl::string_view why) {
    Add("FieldValueInvalid",
        absl::StrCat("Invalid value: ", DumpJson(value_), ": ", path_, " in body ", why));
  }
  void Type(absl::string_view wanted, absl::string_view found) {
    Add("FieldValueTypeInvalid",
        absl::StrCat("Invalid value: \"", found, "\": ", path_, " in body must be of type ", wanted,
                     ": \"", found, "\""));
  }
  void TooMany(size_t count, int64_t most) {
    Add("FieldValueTooMany",
        absl::StrCat("Too many: ", count, ": must have at most ", most, " items"));
  }
  void Add(const char* reason, std::string message) {
    errors_.push_back({path_, reason, std::move(message)});
  }

 private:
  const Json& value_;
  const std::string& path_;
  std::vector<FieldError>& errors_;
};

const char* TypeName(const Json& value) {
  if (value.is_number_integer()) return "integer";
  return value.is_number() ? "number" : value.type_name();
}

bool HasType(const SchemaNode& node, const Json& value) {
  if (node.int_or_string) return value.is_number_integer() || value.is_string();
  if (node.type.empty()) return true;
  if (node.type == "integer") {
    if (!value.is_number_float()) return value.is_number_integer();
    const double number = value.get<double>();
    return std::floor(number) == number && std::abs(number) < 9.2e18;
  }
  if (node.type == "number") return value.is_number();
  return node.type == TypeName(value);
}

int64_t CodePoints(const std::string& text) {
  return std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; });
}

void ValidateString(const SchemaNode& node, const std::string& text, Reporter& report) {
  const int64_t length = CodePoints(text);
  if (node.max_length && length > *node.max_length)
    report.Add("FieldValueTooLong",
               absl::StrCat("Too long: may not be more than ", *node.max_length, " bytes"));
  if (node.min_length && length < *node.min_length)
    report.Invalid(absl::StrCat("should be at least ", *node.min_length, " chars long"));
  if (node.pattern != nullptr && !RE2::PartialMatch(text, *node.pattern))
    report.Invalid(absl::StrCat("should match '", node.pattern->pattern(), "'"));
  const bool time = node.format == "date-time";
  if (time && !api::ParseRfc3339(text).ok()) report.Type("date-time", text);
}

// Whether an integer fits into its format.
bool FitsFormat(const SchemaNode& node, const Json& value) {
  if (node.format != "int32" || !value.is_number_integer()) return true;
  const auto number = value.get<int64_t>();
  return !value.is_number_unsigned() || value.get<uint64_t>() <= INT64_MAX
             ? number >= INT32_MIN && number <= INT32_MAX
             : false;
}

void ValidateNumber(const SchemaNode& node, const Json& value, Reporter& report) {
  const double number = value.get<double>();
  if (!FitsFormat(node, value)) report.Invalid("should be an integer of 32 bits");
  if (node.minimum) {
    const bool low = node.exclusive_minimum ? number <= *node.minimum : number < *node.minimum;
    if (low)
      report.Invalid(absl::StrCat("should be greater than ",
                                  node.exclusive_minimum ? "" : "or equal to ", *node.minimum));
  }
  if (node.maximum) {
    const bool high = node.exclusive_maximum ? number >= *node.maximum : number > *node.maximum;
    if (high)
      report.Invalid(absl::StrCat("should be less than ",
                                  node.exclusive_maximum ? "" : "or equal to ", *node.maximum));
  }
  if (node.multiple_of && std::fmod(number, *node.multiple_of) != 0)
    report.Invalid(absl::StrCat("should be a multiple of ", *node.multiple_of));
}

void CheckUnique(const SchemaNode& node, const Json& list, const std::string& path,
                 std::vector<FieldError>& errors) {
  const bool is_map = node.list_type == "map";
  if (!is_map && node.list_type != "set" && !node.unique_items) return;
  std::set<Json> seen;
  for (size_t i = 0; i < list.size(); ++i) {
    const Json key = is_map ? ListMapKey(node, list[i]) : list[i];
    if (!seen.insert(key).second)
      errors.push_back({Element(path, i), "FieldValueDuplicate",
                        absl::StrCat("Duplicate value: ", DumpJson(key))});
  }
}

void ValidateArray(const SchemaNode& node, const Json& list, const std::string& path,
                   std::vector<FieldError>& errors) {
  Reporter report(list, path, errors);
  if (node.max_items && static_cast<int64_t>(list.size()) > *node.max_items)
    report.TooMany(list.size(), *node.max_items);
  if (node.min_items && static_cast<int64_t>(list.size()) < *node.min_items)
    report.Invalid(absl::StrCat("should have at least ", *node.min_items, " items"));
  CheckUnique(node, list, path, errors);
  if (node.items == nullptr) return;
  for (size_t i = 0; i < list.size(); ++i)
    ValidateNode(*node.items, list[i], Element(path, i), errors);
}

void ValidateObject(const SchemaNode& node, const Json& object, const std::string& path,
                    std::vector<FieldError>& errors) {
  Reporter report(object, path, errors);
  if (node.max_properties && static_cast<int64_t>(object.size()) > *node.max_properties)
    report.TooMany(object.size(), *node.max_properties);
  if (node.min_properties && static_cast<int64_t>(object.size()) < *node.min_properties)
    report.Invalid(absl::StrCat("should have at least ", *node.min_properties, " properties"));
  for (const std::string& key : node.required) {
    if (!object.contains(key))
      errors.push_back({Member(path, key), "FieldValueRequired", "Required value"});
  }
  for (const auto& [key, member] : object.items()) {
    const auto property = node.properties.find(key);
    const SchemaNode* below =
        property != node.properties.end() ? &property->second : node.additional.get();
    if (below != nullptr) ValidateNode(*below, member, Member(path, key), errors);
  }
}

int CountMatching(const std::vector<SchemaNode>& nodes, const Json& value) {
  return static_cast<int>(std::count_if(nodes.begin(), nodes.end(), [&](const SchemaNode& node) {
    std::vector<FieldError> errors;
    ValidateNode(node, value, "", errors);
    return errors.empty();
  }));
}

void ValidateCombinations(const SchemaNode& node, const Json& value, const std::string& path,
                          std::vector<FieldError>& errors) {
  Reporter report(value, path, errors);
  for (const SchemaNode& part : node.all_of) ValidateNode(part, value, path, errors);
  if (!node.any_of.empty() && CountMatching(node.any_of, value) == 0)
    report.Invalid("must validate at least one schema (anyOf)");
  if (!node.one_of.empty() && CountMatching(node.one_of, value) != 1)
    report.Invalid("must validate one and only one schema (oneOf)");
  if (node.negated != nullptr) {
    std::vector<FieldError> found;
    ValidateNode(*node.negated, value, path, found);
    if (found.empty()) report.Invalid("must not validate the schema (not)");
  }
}

}  // namespace

void ValidateNode(const SchemaNode& node, const Json& value, const std::string& path,
                  std::vector<FieldError>& errors) {
  if (value.is_null() && node.nullable) return;
  Reporter report(value, path, errors);
  if (!HasType(node, value)) {
    report.Type(node.int_or_string ? "integer,string" : node.type, TypeName(value));
    return;
  }
  const auto& allowed = node.enumeration;
  if (!allowed.empty() && std::find(allowed.begin(), allowed.end(), value) == allowed.end()) {
    report.Add("FieldValueNotSupported",
               absl::StrCat("Unsupported value: ", DumpJson(value), ": supported values: ",
                            absl::StrJoin(allowed, ", ", [](std::string* out, const Json& one) {
                              absl::StrAppend(out, DumpJson(one));
                            })));
  }
  if (value.is_string()) ValidateString(node, value.get_ref<const std::string&>(), report);
  if (value.is_number()) ValidateNumber(node, value, report);
  if (value.is_array()) ValidateArray(node, value, path, errors);
  if (value.is_object()) ValidateObject(node, value, path, errors);
  ValidateCombinations(node, value, path, errors);
}

}  // namespace ashlar::schema
