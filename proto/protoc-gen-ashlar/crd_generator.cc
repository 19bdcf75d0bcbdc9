#include "crd_generator.h"

#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "facts.h"

namespace ashlar::protoc {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;

// What k8s.io/apimachinery's resource.Quantity accepts, as controller-gen writes it.
constexpr char kQuantityPattern[] =
    "^(\\+|-)?(([0-9]+(\\.[0-9]*)?)|(\\.[0-9]+))(([KMGTPE]i)|[numkMGTPE]|([eE](\\+|-)?(([0-9]+(\\.["
    "0-9]*)?)|(\\.[0-9]+))))?$";

// Reserved words of CEL are written __word__ when they name a field.
std::string CelName(const std::string& name) {
  static const std::set<std::string>& reserved = *new std::set<std::string>{
      "true",     "false",   "null",      "in",       "as",  "break",  "const",
      "continue", "else",    "for",       "function", "if",  "import", "let",
      "loop",     "package", "namespace", "return",   "var", "void",   "while"};
  return reserved.contains(name) ? absl::StrCat("__", name, "__") : name;
}

Json RuleJson(const std::string& rule, const std::string& message) {
  return {{"rule", rule}, {"message", message}};
}

class SchemaWriter {
 public:
  explicit SchemaWriter(std::string& error) : error_(error) {}

  Json Message(const Descriptor& message) {
    Json schema = {{"type", "object"}};
    SetDescription(schema, CommentOf(message));
    Json rules = Json::array();
    for (const k8s::Rule& rule : message.options().GetRepeatedExtension(k8s::rules)) {
      Json json = RuleJson(rule.rule(), rule.message());
      if (!rule.field_path().empty()) json["fieldPath"] = rule.field_path();
      rules.push_back(std::move(json));
    }
    for (int i = 0; i < message.field_count(); ++i) {
      const FieldDescriptor& field = *message.field(i);
      const std::string& name = field.json_name();
      const bool is_metadata = IsKind(message) && name == "metadata";
      schema["properties"][name] = is_metadata ? Json{{"type", "object"}} : Field(field);
      if (OptionsOf(field).required()) schema["required"].push_back(name);
      if (OptionsOf(field).immutable()) rules.push_back(ImmutableRule(field));
    }
    if (!rules.empty()) schema["x-kubernetes-validations"] = std::move(rules);
    return schema;
  }

 private:
  static void SetDescription(Json& schema, const std::string& text) {
    if (!text.empty()) schema["description"] = text;
  }

  // On the parent, because a rule on the field itself could be evaded by removing the field first.
  static Json ImmutableRule(const FieldDescriptor& field) {
    const std::string name = CelName(field.json_name());
    Json rule = RuleJson(OptionsOf(field).required()
                             ? absl::StrCat("self.", name, " == oldSelf.", name)
                             : absl::StrCat("!has(oldSelf.", name, ") || (has(self.", name,
                                            ") && self.", name, " == oldSelf.", name, ")"),
                         absl::StrCat(field.json_name(), " cannot change once it is set"));
    rule["fieldPath"] = absl::StrCat(".", field.json_name());
    return rule;
  }

  Json Field(const FieldDescriptor& field) {
    Json schema = Type(field);
    const k8s::Field& options = OptionsOf(field);
    if (const std::string comment = CommentOf(field); !comment.empty())
      schema["description"] = comment;
    if (!options.default_json().empty()) {
      auto value = ParseJson(options.default_json());
      if (!value.ok()) error_ = absl::StrCat(field.full_name(), ": default_json is not JSON");
      if (value.ok()) schema["default"] = *std::move(value);
    }
    if (options.max_items() > 0) schema["maxItems"] = options.max_items();
    if (options.max_properties() > 0) schema["maxProperties"] = options.max_properties();
    for (const k8s::Rule& rule : options.rules())
      schema["x-kubernetes-validations"].push_back(RuleJson(rule.rule(), rule.message()));
    return schema;
  }

  // What holds for a scalar, also for each element of a list of scalars.
  static Json Scalar(const FieldDescriptor& field, const char* type) {
    const k8s::Field& options = OptionsOf(field);
    Json schema = {{"type", type}};
    for (const std::string& value : options.enum_()) schema["enum"].push_back(value);
    if (!options.pattern().empty()) schema["pattern"] = options.pattern();
    if (!options.format().empty()) schema["format"] = options.format();
    if (options.min_length() > 0) schema["minLength"] = options.min_length();
    if (options.max_length() > 0) schema["maxLength"] = options.max_length();
    if (options.has_minimum()) schema["minimum"] = options.minimum();
    if (options.has_maximum()) schema["maximum"] = options.maximum();
    return schema;
  }

  Json List(const FieldDescriptor& field, Json items) {
    const k8s::Field& options = OptionsOf(field);
    Json schema = {{"type", "array"}, {"items", std::move(items)}};
    if (!options.list_type().empty()) schema["x-kubernetes-list-type"] = options.list_type();
    for (const std::string& key : options.list_map_keys())
      schema["x-kubernetes-list-map-keys"].push_back(key);
    return schema;
  }

  Json Type(const FieldDescriptor& field) {
    Json schema;
    switch (TypeOf(field)) {
      case FieldType::kString:
        return Scalar(field, "string");
      case FieldType::kBool:
        return Scalar(field, "boolean");
      case FieldType::kInt32:
      case FieldType::kInt64:
        schema = Scalar(field, "integer");
        schema["format"] = TypeOf(field) == FieldType::kInt32 ? "int32" : "int64";
        return schema;
      case FieldType::kQuantity:
        return {{"x-kubernetes-int-or-string", true},
                {"anyOf", {{{"type", "integer"}}, {{"type", "string"}}}},
                {"pattern", kQuantityPattern}};
      case FieldType::kTime:
        return {{"type", "string"}, {"format", "date-time"}};
      case FieldType::kMessage:
        return Message(*field.message_type());
      case FieldType::kStrings:
        return List(field, Scalar(field, "string"));
      case FieldType::kMessages:
        return List(field, Message(*field.message_type()));
      case FieldType::kMap:
        return {{"type", "object"}, {"additionalProperties", {{"type", "string"}}}};
      case FieldType::kMessageMap:
        return {
            {"type", "object"},
            {"additionalProperties", Message(*field.message_type()->map_value()->message_type())}};
      case FieldType::kJson:
        return {{"type", "object"}, {"x-kubernetes-preserve-unknown-fields", true}};
      case FieldType::kUnsupported:
        break;
    }
    error_ = absl::StrCat(field.full_name(), ": this type of field is not supported");
    return schema;
  }

  std::string& error_;
};

Json Columns(const k8s::Kind& kind) {
  Json columns = Json::array();
  for (const k8s::Column& column : kind.columns()) {
    Json json = {
        {"name", column.name()}, {"type", column.type()}, {"jsonPath", column.json_path()}};
    if (column.priority() > 0) json["priority"] = column.priority();
    if (!column.description().empty()) json["description"] = column.description();
    columns.push_back(std::move(json));
  }
  return columns;
}

Json Names(const Descriptor& message) {
  const k8s::Kind& kind = KindOf(message);
  Json names = {{"kind", message.name()},
                {"listKind", absl::StrCat(message.name(), "List")},
                {"plural", kind.plural()},
                {"singular", absl::AsciiStrToLower(message.name())}};
  for (const std::string& name : kind.short_names()) names["shortNames"].push_back(name);
  for (const std::string& name : kind.categories()) names["categories"].push_back(name);
  return names;
}

Json RootSchema(const Descriptor& message, std::string& error) {
  Json root = SchemaWriter(error).Message(message);
  root["properties"]["apiVersion"] = {
      {"type", "string"}, {"description", "Version of the schema that this object is written in."}};
  root["properties"]["kind"] = {{"type", "string"},
                                {"description", "Kind of this object, in CamelCase."}};
  return root;
}

}  // namespace

Json Crd(const Descriptor& message, std::string& error) {
  const k8s::Kind& kind = KindOf(message);
  Json version = {{"name", kind.version()},
                  {"served", true},
                  {"storage", true},
                  {"schema", {{"openAPIV3Schema", RootSchema(message, error)}}},
                  {"additionalPrinterColumns", Columns(kind)}};
  if (message.FindFieldByName("status") != nullptr)
    version["subresources"] = {{"status", Json::object()}};
  return {{"apiVersion", "apiextensions.k8s.io/v1"},
          {"kind", "CustomResourceDefinition"},
          {"metadata", {{"name", absl::StrCat(kind.plural(), ".", kind.group())}}},
          {"spec",
           {{"group", kind.group()},
            {"names", Names(message)},
            {"scope", kind.namespaced() ? "Namespaced" : "Cluster"},
            {"versions", Json::array({std::move(version)})}}}};
}

std::string CrdFileName(const Descriptor& message) {
  return absl::StrCat(KindOf(message).group(), "_", KindOf(message).plural(), ".yaml");
}

}  // namespace ashlar::protoc
