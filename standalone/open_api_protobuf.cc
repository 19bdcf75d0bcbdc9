// The Swagger document in the binary form that older kubectl asks for. It only knows what
// open_api.cc writes.
#include <string>

#include "OpenAPIv2.pb.h"
#include "absl/strings/match.h"
#include "standalone/open_api.h"

namespace ashlar::standalone {
namespace {

namespace pb = ::openapi::v2;

// gnostic keeps extensions as YAML, of which JSON is a part.
void AddExtension(const std::string& name, const Json& value, pb::NamedAny& out) {
  out.set_name(name);
  out.mutable_value()->set_yaml(DumpJson(value) + "\n");
}

void ConvertSchema(const Json& from, pb::Schema& to) {
  if (!from.is_object()) return;
  for (const auto& [key, value] : from.items()) {
    if (key == "$ref") {
      to.set__ref(value.get<std::string>());
    } else if (key == "type" && value.is_string()) {
      to.mutable_type()->add_value(value.get<std::string>());
    } else if (key == "format" && value.is_string()) {
      to.set_format(value.get<std::string>());
    } else if (key == "description" && value.is_string()) {
      to.set_description(value.get<std::string>());
    } else if (key == "default") {
      to.mutable_default_()->set_yaml(DumpJson(value) + "\n");
    } else if (key == "required" && value.is_array()) {
      for (const Json& name : value) to.add_required(name.get<std::string>());
    } else if (key == "enum" && value.is_array()) {
      for (const Json& item : value) to.add_enum_()->set_yaml(DumpJson(item) + "\n");
    } else if (key == "items") {
      ConvertSchema(value, *to.mutable_items()->add_schema());
    } else if (key == "additionalProperties" && value.is_boolean()) {
      to.mutable_additional_properties()->set_boolean(value.get<bool>());
    } else if (key == "additionalProperties") {
      ConvertSchema(value, *to.mutable_additional_properties()->mutable_schema());
    } else if (key == "properties" && value.is_object()) {
      for (const auto& [name, property] : value.items()) {
        pb::NamedSchema* named = to.mutable_properties()->add_additional_properties();
        named->set_name(name);
        ConvertSchema(property, *named->mutable_value());
      }
    } else if (absl::StartsWith(key, "x-")) {
      AddExtension(key, value, *to.add_vendor_extension());
    }
  }
}

void ConvertParameter(const Json& from, pb::ParametersItem& to) {
  pb::NonBodyParameter& parameter = *to.mutable_parameter()->mutable_non_body_parameter();
  if (JsonString(from, {"in"}) == "path") {
    auto& path = *parameter.mutable_path_parameter_sub_schema();
    path.set_name(JsonString(from, {"name"}));
    path.set_in("path");
    path.set_type("string");
    path.set_required(true);
    path.set_unique_items(true);
    return;
  }
  auto& query = *parameter.mutable_query_parameter_sub_schema();
  query.set_name(JsonString(from, {"name"}));
  query.set_in("query");
  query.set_type("string");
  query.set_unique_items(true);
}

void ConvertOperation(const Json& from, pb::Operation& to) {
  to.set_description(JsonString(from, {"description"}));
  to.set_operation_id(JsonString(from, {"operationId"}));
  for (const Json& parameter : from["parameters"])
    ConvertParameter(parameter, *to.add_parameters());
  pb::NamedResponseValue* response = to.mutable_responses()->add_response_code();
  response->set_name("200");
  response->mutable_value()->mutable_response()->set_description("OK");
  for (const auto& [key, value] : from.items()) {
    if (absl::StartsWith(key, "x-")) AddExtension(key, value, *to.add_vendor_extension());
  }
}

void ConvertPath(const Json& from, pb::PathItem& to) {
  for (const auto& [key, value] : from.items()) {
    if (key == "get") ConvertOperation(value, *to.mutable_get());
    if (key == "put") ConvertOperation(value, *to.mutable_put());
    if (key == "post") ConvertOperation(value, *to.mutable_post());
    if (key == "patch") ConvertOperation(value, *to.mutable_patch());
    if (key == "delete") ConvertOperation(value, *to.mutable_delete_());
    if (key != "parameters") continue;
    for (const Json& parameter : value) ConvertParameter(parameter, *to.add_parameters());
  }
}

}  // namespace

absl::StatusOr<std::string> OpenApiV2Protobuf(const Json& document) {
  pb::Document out;
  out.set_swagger("2.0");
  out.mutable_info()->set_title(JsonString(document, {"info", "title"}));
  out.mutable_info()->set_version(JsonString(document, {"info", "version"}));
  for (const auto& [path, item] : document["paths"].items()) {
    pb::NamedPathItem* named = out.mutable_paths()->add_path();
    named->set_name(path);
    ConvertPath(item, *named->mutable_value());
  }
  for (const auto& [name, schema] : document["definitions"].items()) {
    pb::NamedSchema* named = out.mutable_definitions()->add_additional_properties();
    named->set_name(name);
    ConvertSchema(schema, *named->mutable_value());
  }
  std::string bytes;
  if (!out.SerializeToString(&bytes)) return absl::InternalError("the document is too large");
  return bytes;
}

}  // namespace ashlar::standalone
