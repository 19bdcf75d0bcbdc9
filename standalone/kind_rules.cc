#include "standalone/kind_rules.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "standalone/object_meta.h"

namespace ashlar::standalone {
namespace {

Json Condition(const Json* before, const char* type, const char* reason, const char* message,
               absl::Time now) {
  if (before != nullptr) {
    if (const Json* list = FindJson(*before, {"status", "conditions"}); list != nullptr) {
      for (const Json& old : *list) {
        if (JsonString(old, {"type"}) == type) return old;
      }
    }
  }
  return {{"type", type},
          {"status", "True"},
          {"reason", reason},
          {"message", message},
          {"lastTransitionTime", ApiTime(now)}};
}

// A definition is served as soon as it is stored, so its status is known when it is written.
void CompleteCrd(absl::Time now, const Json* before, Json& object) {
  if (!FindJson(object, {"spec", "names"}) || !object["spec"]["names"].is_object()) return;
  Json& names = object["spec"]["names"];
  const std::string kind = JsonString(names, {"kind"});
  if (!names.contains("singular")) names["singular"] = absl::AsciiStrToLower(kind);
  if (!names.contains("listKind")) names["listKind"] = kind + "List";
  if (!object["spec"].contains("conversion")) object["spec"]["conversion"] = {{"strategy", "None"}};
  Json stored =
      before == nullptr
          ? Json::array()
          : before->value("status", Json::object()).value("storedVersions", Json::array());
  const Json* versions = FindJson(object, {"spec", "versions"});
  if (versions != nullptr && versions->is_array()) {
    for (const Json& version : *versions) {
      const Json* storage = FindJson(version, {"storage"});
      const Json name = JsonString(version, {"name"});
      const bool is_new = std::find(stored.begin(), stored.end(), name) == stored.end();
      if (storage != nullptr && *storage == Json(true) && is_new) stored.push_back(name);
    }
  }
  object["status"] = {
      {"acceptedNames", names},
      {"storedVersions", std::move(stored)},
      {"conditions",
       {Condition(before, "NamesAccepted", "NoConflicts", "no conflicts found", now),
        Condition(before, "Established", "InitialNamesAccepted",
                  "the initial names have been accepted", now)}}};
  if (before == nullptr) {
    Json& finalizers = object["metadata"]["finalizers"];
    if (!finalizers.is_array()) finalizers = Json::array();
    if (std::find(finalizers.begin(), finalizers.end(), Json(kCrdCleanup)) == finalizers.end()) {
      finalizers.push_back(kCrdCleanup);
    }
  }
}

void CompleteNamespace(const Json* before, Json& object) {
  object["spec"]["finalizers"] = Json::array({"kubernetes"});
  object["metadata"]["labels"]["kubernetes.io/metadata.name"] =
      JsonString(object, {"metadata", "name"});
  if (before == nullptr) object["status"] = {{"phase", "Active"}};
}

void CompleteSecret(Json& object) {
  auto texts = object.find("stringData");
  if (texts == object.end() || !texts->is_object()) return;
  for (const auto& [key, value] : texts->items()) {
    if (value.is_string()) object["data"][key] = absl::Base64Escape(value.get<std::string>());
  }
  object.erase("stringData");
}

std::vector<Cause> CheckCrd(const Json& object, const Json* before) {
  std::vector<Cause> causes;
  const std::string group = JsonString(object, {"spec", "group"});
  const std::string plural = JsonString(object, {"spec", "names", "plural"});
  const std::string name = JsonString(object, {"metadata", "name"});
  if (name != absl::StrCat(plural, ".", group)) {
    causes.push_back(
        {"FieldValueInvalid",
         absl::StrCat("Invalid value: \"", name, "\": must be spec.names.plural+\".\"+spec.group"),
         "metadata.name"});
  }
  if (group.find('.') == std::string::npos) {
    causes.push_back({"FieldValueInvalid",
                      absl::StrCat("Invalid value: \"", group, "\": must have a dot"),
                      "spec.group"});
  }
  if (before != nullptr &&
      JsonString(*before, {"spec", "scope"}) != JsonString(object, {"spec", "scope"})) {
    causes.push_back({"FieldValueInvalid", "Invalid value: field is immutable", "spec.scope"});
  }
  auto resources = ResourcesOf(object, true);
  if (!resources.ok()) {
    causes.push_back({"FieldValueInvalid",
                      absl::StrCat("Invalid value: ", resources.status().message()),
                      "spec.versions"});
  }
  return causes;
}

}  // namespace

bool IsCrd(const Resource& resource) { return resource.info.kind == "CustomResourceDefinition"; }
bool IsNamespace(const Resource& resource) {
  return resource.info.group.empty() && resource.info.kind == "Namespace";
}
bool IsEvent(const Resource& resource) { return !resource.custom && resource.info.kind == "Event"; }

void Complete(const Resource& resource, absl::Time now, const Json* before, Json& object) {
  if (resource.custom) return;
  if (IsCrd(resource)) CompleteCrd(now, before, object);
  if (IsNamespace(resource)) CompleteNamespace(before, object);
  if (resource.info.kind == "Secret") CompleteSecret(object);
}

std::vector<Cause> CheckKind(const Resource& resource, const Json& object, const Json* before) {
  return IsCrd(resource) ? CheckCrd(object, before) : std::vector<Cause>();
}

}  // namespace ashlar::standalone
