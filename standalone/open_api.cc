#include "standalone/open_api.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "standalone/api_error.h"

namespace ashlar::standalone {
namespace {

constexpr char kMeta[] = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";
constexpr char kListMeta[] = "io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta";

// dev.ashlar.v1alpha1.Pool: the group backwards, as Kubernetes names definitions.
std::string DefinitionName(const Resource& resource) {
  std::vector<std::string> parts = absl::StrSplit(resource.info.group, '.', absl::SkipEmpty());
  if (parts.empty()) parts = {"core", "api", "k8s", "io"};
  std::reverse(parts.begin(), parts.end());
  return absl::StrCat(absl::StrJoin(parts, "."), ".", resource.info.version, ".",
                      resource.info.kind);
}

Json KindExtension(const Resource& resource) {
  return Json::array({{{"group", resource.info.group},
                       {"kind", resource.info.kind},
                       {"version", resource.info.version}}});
}

Json Text(const char* description) { return {{"type", "string"}, {"description", description}}; }

Json OwnerSchema() {
  return {{"type", "object"},
          {"required", {"apiVersion", "kind", "name", "uid"}},
          {"properties",
           {{"apiVersion", Text("Version of the owner's kind.")},
            {"kind", Text("Kind of the owner.")},
            {"name", Text("Name of the owner.")},
            {"uid", Text("UID of the owner.")},
            {"controller", {{"type", "boolean"}}},
            {"blockOwnerDeletion", {{"type", "boolean"}}}}}};
}

Json ObjectMetaSchema() {
  const Json texts = {{"type", "object"}, {"additionalProperties", {{"type", "string"}}}};
  Json labels = texts;
  labels["description"] = "Texts by which objects are selected.";
  Json annotations = texts;
  annotations["description"] = "Texts that programs attach.";
  const Json owner = OwnerSchema();
  Json time = {{"type", "string"}, {"format", "date-time"}};
  return {
      {"type", "object"},
      {"description", "ObjectMeta is metadata that all objects have."},
      {"properties",
       {{"name", Text("Name of the object, unique in its namespace.")},
        {"generateName", Text("What the name begins with, if the server makes the rest of it.")},
        {"namespace", Text("Namespace that the name is in.")},
        {"uid", Text("Unique in time and space; set by the server.")},
        {"resourceVersion", Text("Version of the object; set by the server.")},
        {"selfLink", Text("Not used.")},
        {"generation",
         {{"type", "integer"}, {"description", "Counts changes of what is desired."}}},
        {"creationTimestamp", time},
        {"deletionTimestamp", time},
        {"deletionGracePeriodSeconds", {{"type", "integer"}}},
        {"labels", labels},
        {"annotations", annotations},
        {"finalizers",
         {{"type", "array"},
          {"description", "What must happen before the object goes."},
          {"items", {{"type", "string"}}}}},
        {"ownerReferences",
         {{"type", "array"},
          {"description", "Objects without which this one is removed."},
          {"items", owner}}},
        {"managedFields",
         {{"type", "array"},
          {"description", "Which manager owns which field."},
          {"items", {{"type", "object"}}}}}}}};
}

Json ListMetaSchema() {
  return {{"type", "object"},
          {"description", "ListMeta is metadata of lists."},
          {"properties",
           {{"resourceVersion", Text("Version of the list.")},
            {"continue", Text("Where the next page begins.")},
            {"remainingItemCount", {{"type", "integer"}}}}}};
}

// What OpenAPI v2 and kubectl's model of it understand of a schema.
Json Reduced(const Json& schema, bool v3) {
  if (!schema.is_object()) return schema;
  if (v3) {
    Json out = schema;
    out.erase("x-kubernetes-validations");
    return out;
  }
  Json out = Json::object();
  for (const char* key : {"type", "description", "format", "required", "enum", "default",
                          "x-kubernetes-preserve-unknown-fields", "x-kubernetes-list-type",
                          "x-kubernetes-list-map-keys", "x-kubernetes-map-type",
                          "x-kubernetes-patch-merge-key", "x-kubernetes-int-or-string"}) {
    if (auto it = schema.find(key); it != schema.end()) out[key] = *it;
  }
  if (schema.value("x-kubernetes-preserve-unknown-fields", Json()) == Json(true) &&
      !schema.contains("properties")) {
    // An object of unknown fields has no type in v2, or its fields would be refused.
    out.erase("type");
  }
  if (schema.value("x-kubernetes-int-or-string", Json()) == Json(true)) out.erase("type");
  if (schema.contains("items")) out["items"] = Reduced(schema["items"], v3);
  if (schema.contains("additionalProperties")) {
    out["additionalProperties"] = Reduced(schema["additionalProperties"], v3);
  }
  if (auto it = schema.find("properties"); it != schema.end() && it->is_object()) {
    for (const auto& [name, property] : it->items())
      out["properties"][name] = Reduced(property, v3);
  }
  return out;
}

Json ObjectSchema(const Resource& resource, const std::string& ref, bool v3) {
  Json schema = Reduced(resource.schema, v3);
  schema["properties"]["apiVersion"] = Text("Group and version of the kind.");
  schema["properties"]["kind"] = Text("Kind of the object.");
  Json meta = {{"$ref", ref + kMeta}};
  schema["properties"]["metadata"] = v3 ? Json{{"allOf", Json::array({meta})},
                                               {"default", Json::object()},
                                               {"description", "Standard object's metadata."}}
                                        : meta;
  schema["x-kubernetes-group-version-kind"] = KindExtension(resource);
  return schema;
}

Json ListSchema(const Resource& resource, const std::string& ref) {
  Json extension = KindExtension(resource);
  extension[0]["kind"] = resource.list_kind;
  return {{"type", "object"},
          {"description", absl::StrCat(resource.list_kind, " is a list of ", resource.info.kind)},
          {"required", {"items"}},
          {"properties",
           {{"apiVersion", Text("Group and version of the kind.")},
            {"kind", Text("Kind of the list.")},
            {"metadata", {{"$ref", ref + kListMeta}}},
            {"items", {{"type", "array"}, {"items", {{"$ref", ref + DefinitionName(resource)}}}}}}},
          {"x-kubernetes-group-version-kind", extension}};
}

void AddDefinitions(const Resource& resource, const std::string& ref, bool v3, Json& out) {
  out[DefinitionName(resource)] = ObjectSchema(resource, ref, v3);
  out[DefinitionName(resource) + "List"] = ListSchema(resource, ref);
  out[kMeta] = ObjectMetaSchema();
  out[kListMeta] = ListMetaSchema();
}

std::string BasePath(const Resource& resource) {
  const api::KindInfo& info = resource.info;
  return absl::StrCat(info.group.empty() ? "/api/" : "/apis/", info.ApiVersion(),
                      info.namespaced ? "/namespaces/{namespace}/" : "/", info.plural);
}

Json Parameter(const char* name, bool v3) {
  Json parameter = {{"name", name}, {"in", "query"}, {"description", name}};
  if (v3) {
    parameter["schema"] = {{"type", "string"}, {"uniqueItems", true}};
  } else {
    parameter["type"] = "string";
    parameter["uniqueItems"] = true;
  }
  return parameter;
}

Json PathParameter(const char* name, bool v3) {
  Json parameter = Parameter(name, v3);
  parameter["in"] = "path";
  parameter["required"] = true;
  return parameter;
}

// kubectl looks here for what the server can do: dryRun and fieldValidation.
Json Operation(const Resource& resource, const char* verb, const char* action, bool v3) {
  Json ok = {{"description", "OK"}};
  return {
      {"description", absl::StrCat(verb, " ", resource.info.kind)},
      {"operationId", absl::StrCat(verb, resource.info.version, resource.info.kind)},
      {"parameters",
       {Parameter("dryRun", v3), Parameter("fieldManager", v3), Parameter("fieldValidation", v3)}},
      {"responses", {{"200", ok}}},
      {"x-kubernetes-action", action},
      {"x-kubernetes-group-version-kind", KindExtension(resource)[0]}};
}

void AddPaths(const Resource& resource, bool v3, Json& paths) {
  const std::string base = BasePath(resource);
  Json shared = Json::array();
  if (resource.info.namespaced) shared.push_back(PathParameter("namespace", v3));
  Json& all = paths[base];
  all = {{"get", Operation(resource, "list", "list", v3)},
         {"post", Operation(resource, "create", "post", v3)}};
  if (!shared.empty()) all["parameters"] = shared;
  shared.push_back(PathParameter("name", v3));
  paths[base + "/{name}"] = {{"get", Operation(resource, "read", "get", v3)},
                             {"put", Operation(resource, "replace", "put", v3)},
                             {"patch", Operation(resource, "patch", "patch", v3)},
                             {"delete", Operation(resource, "delete", "delete", v3)},
                             {"parameters", shared}};
}

Json Info() { return {{"title", "Ashlar standalone"}, {"version", "v1"}}; }

std::string GroupPath(const std::string& group, const std::string& version) {
  return group.empty() ? absl::StrCat("api/", version) : absl::StrCat("apis/", group, "/", version);
}

}  // namespace

Json OpenApiV2(const Registry& registry) {
  Json definitions = Json::object();
  Json paths = Json::object();
  for (const ResourcePtr& resource : registry.All()) {
    AddDefinitions(*resource, "#/definitions/", false, definitions);
    AddPaths(*resource, false, paths);
  }
  return {{"swagger", "2.0"},
          {"info", Info()},
          {"paths", std::move(paths)},
          {"definitions", std::move(definitions)}};
}

Json OpenApiV3Index(const Registry& registry) {
  Json paths = Json::object();
  for (const ResourcePtr& resource : registry.All()) {
    const std::string path = GroupPath(resource->info.group, resource->info.version);
    // The hash lets clients keep what they have until the kinds change.
    paths[path] = {
        {"serverRelativeURL", absl::StrCat("/openapi/v3/", path, "?hash=", registry.Revision())}};
  }
  return {{"paths", std::move(paths)}};
}

absl::StatusOr<Json> OpenApiV3(const Registry& registry, const std::string& group,
                               const std::string& version) {
  Json schemas = Json::object();
  Json paths = Json::object();
  for (const ResourcePtr& resource : registry.All()) {
    if (resource->info.group != group || resource->info.version != version) continue;
    AddDefinitions(*resource, "#/components/schemas/", true, schemas);
    AddPaths(*resource, true, paths);
  }
  if (paths.empty()) return NoSuchPath();
  return Json{{"openapi", "3.0.0"},
              {"info", Info()},
              {"paths", std::move(paths)},
              {"components", {{"schemas", std::move(schemas)}}}};
}

}  // namespace ashlar::standalone
