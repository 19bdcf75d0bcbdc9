#include "standalone/resource.h"

#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "lib/base/status_macros.h"
#include "standalone/typed.h"

namespace ashlar::standalone {
namespace {

std::vector<std::string> Strings(const Json* list) {
  std::vector<std::string> out;
  if (list == nullptr || !list->is_array()) return out;
  for (const Json& item : *list) {
    if (item.is_string()) out.push_back(item.get<std::string>());
  }
  return out;
}

absl::StatusOr<Column> ColumnOf(const Json& from) {
  const std::string path = JsonString(from, {"jsonPath"});
  auto parsed = JsonPath::Parse(path);
  if (!parsed.ok()) return Annotate(parsed.status(), "additionalPrinterColumns[].jsonPath");
  return Column{JsonString(from, {"name"}),   JsonString(from, {"type"}),
                JsonString(from, {"format"}), JsonString(from, {"description"}),
                JsonInt(from, {"priority"}),  *std::move(parsed)};
}

absl::StatusOr<std::vector<Column>> ColumnsOf(const Json& version) {
  std::vector<Column> columns;
  if (const Json* list = FindJson(version, {"additionalPrinterColumns"}); list != nullptr) {
    for (const Json& item : *list) {
      ASHLAR_ASSIGN_OR_RETURN(Column column, ColumnOf(item));
      columns.push_back(std::move(column));
    }
    return columns;
  }
  ASHLAR_ASSIGN_OR_RETURN(Column age,
                          ColumnOf({{"name", "Age"},
                                    {"type", "date"},
                                    {"description", "How long ago the object was made."},
                                    {"jsonPath", ".metadata.creationTimestamp"}}));
  columns.push_back(std::move(age));
  return columns;
}

std::vector<std::string> FieldsOf(const Json& version) {
  std::vector<std::string> fields = {"metadata.name", "metadata.namespace"};
  const Json* list = FindJson(version, {"selectableFields"});
  if (list == nullptr || !list->is_array()) return fields;
  for (const Json& item : *list) {
    std::string path = JsonString(item, {"jsonPath"});
    if (!path.empty() && path[0] == '.') fields.push_back(path.substr(1));
  }
  return fields;
}

absl::StatusOr<ResourcePtr> ResourceOf(const Json& spec, const Json& version, bool custom) {
  auto resource = std::make_shared<Resource>();
  resource->info = {JsonString(spec, {"group"}), JsonString(version, {"name"}),
                    JsonString(spec, {"names", "kind"}), JsonString(spec, {"names", "plural"}),
                    JsonString(spec, {"scope"}) == "Namespaced"};
  const std::string& kind = resource->info.kind;
  resource->singular = JsonString(spec, {"names", "singular"});
  if (resource->singular.empty()) resource->singular = absl::AsciiStrToLower(kind);
  resource->list_kind = JsonString(spec, {"names", "listKind"});
  if (resource->list_kind.empty()) resource->list_kind = kind + "List";
  resource->short_names = Strings(FindJson(spec, {"names", "shortNames"}));
  resource->categories = Strings(FindJson(spec, {"names", "categories"}));
  resource->has_status = FindJson(version, {"subresources", "status"}) != nullptr;
  resource->counts_generation = custom || resource->info.kind == "CustomResourceDefinition";
  resource->custom = custom;
  if (const Json* schema = FindJson(version, {"schema", "openAPIV3Schema"})) {
    resource->schema = *schema;
  } else {
    resource->schema = {{"type", "object"}, {"x-kubernetes-preserve-unknown-fields", true}};
  }
  resource->typed = WithMetadata(resource->schema);
  ASHLAR_ASSIGN_OR_RETURN(resource->checks, schema::Schema::Compile(resource->schema));
  ASHLAR_ASSIGN_OR_RETURN(resource->columns, ColumnsOf(version));
  resource->fields = FieldsOf(version);
  return resource;
}

}  // namespace

absl::StatusOr<std::vector<ResourcePtr>> ResourcesOf(const Json& definition, bool custom) {
  std::vector<ResourcePtr> resources;
  const Json* spec = FindJson(definition, {"spec"});
  const Json* versions = FindJson(definition, {"spec", "versions"});
  if (spec == nullptr || versions == nullptr || !versions->is_array()) {
    return absl::InvalidArgumentError("spec.versions: a list of versions is required");
  }
  for (const Json& version : *versions) {
    const Json* served = FindJson(version, {"served"});
    if (served != nullptr && *served == Json(false)) continue;
    auto resource = ResourceOf(*spec, version, custom);
    if (!resource.ok()) {
      return Annotate(resource.status(),
                      absl::StrCat("spec.versions[", JsonString(version, {"name"}), "]"));
    }
    resources.push_back(*std::move(resource));
  }
  return resources;
}

}  // namespace ashlar::standalone
