#include "standalone/admission.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "standalone/object_meta.h"

namespace ashlar::standalone {
namespace {

absl::Status CheckText(const Json& object, const char* key) {
  const Json* value = FindJson(object, {"metadata", key});
  if (value == nullptr || value->is_null() || value->is_string()) return absl::OkStatus();
  return BadRequest(absl::StrCat("metadata.", key, ": expected a string, got ", DumpJson(*value)));
}

absl::Status CheckType(const Resource& resource, Json& object) {
  const std::string api_version = JsonString(object, {"apiVersion"});
  const std::string kind = JsonString(object, {"kind"});
  if ((!api_version.empty() && api_version != resource.info.ApiVersion()) ||
      (!kind.empty() && kind != resource.info.kind)) {
    return BadRequest(absl::StrCat("the object provided is unrecognized: it is ", api_version, " ",
                                   kind, ", expected ", resource.info.ApiVersion(), " ",
                                   resource.info.kind));
  }
  object["apiVersion"] = resource.info.ApiVersion();
  object["kind"] = resource.info.kind;
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckBody(const Resource& resource, const std::string& space, const std::string& name,
                       Json& object) {
  if (!object.is_object()) return BadRequest("the body is not an object");
  absl::Status type = CheckType(resource, object);
  if (!type.ok()) return type;
  Json& metadata = object["metadata"];
  if (metadata.is_null()) metadata = Json::object();
  if (!metadata.is_object()) return BadRequest("metadata: expected an object");
  for (const char* key : {"name", "namespace", "generateName", "uid", "resourceVersion"}) {
    absl::Status text = CheckText(object, key);
    if (!text.ok()) return text;
  }
  const std::string own_space = JsonString(metadata, {"namespace"});
  if (!resource.info.namespaced) {
    metadata.erase("namespace");
  } else if (own_space.empty()) {
    metadata["namespace"] = space;
  } else if (own_space != space) {
    return BadRequest(absl::StrCat("the namespace of the provided object (", own_space,
                                   ") does not match the namespace sent on the request (", space,
                                   ")"));
  }
  const std::string own_name = JsonString(metadata, {"name"});
  if (name.empty()) return absl::OkStatus();
  if (own_name.empty()) {
    metadata["name"] = name;
  } else if (own_name != name) {
    return BadRequest(absl::StrCat("the name of the object (", own_name,
                                   ") does not match the name on the URL (", name, ")"));
  }
  return absl::OkStatus();
}

void KeepOtherHalf(const Resource& resource, const std::string& subresource, const Json* before,
                   Json& object) {
  if (!resource.has_status) return;
  if (subresource == "status" && before != nullptr) {
    Json mixed = *before;
    mixed["apiVersion"] = object["apiVersion"];
    if (object.contains("status")) {
      mixed["status"] = object["status"];
    } else {
      mixed.erase("status");
    }
    for (const char* key : {"managedFields", "resourceVersion", "uid"}) {
      auto it = object["metadata"].find(key);
      if (it != object["metadata"].end()) mixed["metadata"][key] = *it;
    }
    if (!object["metadata"].contains("resourceVersion")) mixed["metadata"].erase("resourceVersion");
    object = std::move(mixed);
    return;
  }
  if (before != nullptr && before->contains("status")) {
    object["status"] = (*before)["status"];
  } else {
    object.erase("status");
  }
}

std::vector<std::string> Shape(const Resource& resource, Json& object) {
  std::vector<std::string> unknown = PruneMetadata(object);
  if (!resource.checks.has_value()) return unknown;
  for (std::string& path : resource.checks->Prune(object)) unknown.push_back(std::move(path));
  resource.checks->ApplyDefaults(object);
  return unknown;
}

std::vector<Cause> Check(const Resource& resource, const Json& object, const Json* before) {
  std::vector<Cause> causes = CheckMetadata(resource, object);
  if (!resource.checks.has_value()) return causes;
  for (schema::FieldError& error : resource.checks->Validate(object, before)) {
    causes.push_back({std::move(error.reason), std::move(error.message), std::move(error.field)});
  }
  return causes;
}

}  // namespace ashlar::standalone
