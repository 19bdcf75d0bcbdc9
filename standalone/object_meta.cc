#include "standalone/object_meta.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "standalone/random_id.h"

namespace ashlar::standalone {
namespace {

constexpr const char* kKnown[] = {
    "name",       "generateName",      "namespace",    "selfLink",
    "uid",        "resourceVersion",   "generation",   "creationTimestamp",
    "labels",     "deletionTimestamp", "annotations",  "deletionGracePeriodSeconds",
    "finalizers", "ownerReferences",   "managedFields"};
constexpr size_t kMaxAnnotationBytes = 256 * 1024;

bool AllOf(absl::string_view text, bool (*ok)(unsigned char)) {
  return std::all_of(text.begin(), text.end(), [&](char c) { return ok(c); });
}

// RFC 1123 label: lower case letters, digits and -.
bool IsLabel(absl::string_view text) {
  auto ok = [](unsigned char c) {
    return absl::ascii_islower(c) || absl::ascii_isdigit(c) || c == '-';
  };
  return !text.empty() && text.size() <= 63 && text.front() != '-' && text.back() != '-' &&
         AllOf(text, ok);
}

bool IsSubdomain(absl::string_view text) {
  if (text.empty() || text.size() > 253) return false;
  for (absl::string_view part : absl::StrSplit(text, '.')) {
    if (!IsLabel(part)) return false;
  }
  return true;
}

bool IsLabelValue(absl::string_view text) {
  auto ok = [](unsigned char c) {
    return absl::ascii_isalnum(c) || c == '-' || c == '_' || c == '.';
  };
  if (text.empty()) return true;
  return text.size() <= 63 && absl::ascii_isalnum(text.front()) &&
         absl::ascii_isalnum(text.back()) && AllOf(text, ok);
}

// prefix/name, the prefix being optional.
bool IsQualifiedName(absl::string_view text) {
  const size_t slash = text.find('/');
  if (slash == absl::string_view::npos) return !text.empty() && IsLabelValue(text);
  return IsSubdomain(absl::AsciiStrToLower(text.substr(0, slash))) && slash + 1 < text.size() &&
         IsLabelValue(text.substr(slash + 1));
}

Cause BadValue(std::string field, const Json& value, absl::string_view why) {
  return {"FieldValueInvalid", absl::StrCat("Invalid value: ", DumpJson(value), ": ", why),
          std::move(field)};
}

void CheckTexts(const Json& metadata, const char* name, std::vector<Cause>& causes) {
  auto it = metadata.find(name);
  if (it == metadata.end()) return;
  const std::string field = absl::StrCat("metadata.", name);
  if (!it->is_object()) return causes.push_back(BadValue(field, *it, "must be a map of strings"));
  size_t bytes = 0;
  for (const auto& [key, value] : it->items()) {
    if (!IsQualifiedName(key)) {
      causes.push_back(
          BadValue(field, Json(key), "must be [prefix/]name of letters, digits, -, _ and ."));
    }
    if (!value.is_string()) {
      causes.push_back(BadValue(absl::StrCat(field, ".", key), value, "must be a string"));
    } else if (name == std::string("labels") && !IsLabelValue(value.get<std::string>())) {
      causes.push_back(BadValue(
          field, value,
          "a label value has up to 63 letters, digits, -, _ and ., at the ends letters or digits"));
    } else {
      bytes += key.size() + value.get_ref<const std::string&>().size();
    }
  }
  if (bytes > kMaxAnnotationBytes) {
    causes.push_back({"FieldValueTooLong", "Too long: may not be more than 262144 bytes", field});
  }
}

void CheckFinalizers(const Json& metadata, std::vector<Cause>& causes) {
  auto it = metadata.find("finalizers");
  if (it == metadata.end()) return;
  const char* field = "metadata.finalizers";
  if (!it->is_array()) return causes.push_back(BadValue(field, *it, "must be a list of strings"));
  for (const Json& finalizer : *it) {
    if (!finalizer.is_string() || !IsQualifiedName(finalizer.get<std::string>())) {
      causes.push_back(
          BadValue(field, finalizer, "must be a qualified name such as example.com/x"));
    }
  }
}

void CheckOwners(const Json& metadata, std::vector<Cause>& causes) {
  auto it = metadata.find("ownerReferences");
  if (it == metadata.end()) return;
  const char* field = "metadata.ownerReferences";
  if (!it->is_array()) return causes.push_back(BadValue(field, *it, "must be a list"));
  int controllers = 0;
  for (const Json& owner : *it) {
    for (const char* key : {"apiVersion", "kind", "name", "uid"}) {
      if (JsonString(owner, {key}).empty()) {
        causes.push_back({"FieldValueRequired", "Required value", absl::StrCat(field, "[].", key)});
      }
    }
    const Json* controller = FindJson(owner, {"controller"});
    if (controller != nullptr && *controller == Json(true)) ++controllers;
  }
  if (controllers > 1) causes.push_back(BadValue(field, *it, "only one owner can be controller"));
}

// Everything but metadata and, if it has an endpoint of its own, status.
Json Desired(const Resource& resource, const Json& object) {
  Json desired = object;
  desired.erase("metadata");
  desired.erase("apiVersion");
  if (resource.has_status) desired.erase("status");
  return desired;
}

}  // namespace

std::string ApiTime(absl::Time time) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", time, absl::UTCTimeZone());
}

std::vector<std::string> PruneMetadata(Json& object) {
  std::vector<std::string> unknown;
  Json& metadata = object["metadata"];
  if (!metadata.is_object()) metadata = Json::object();
  Json kept = Json::object();
  for (auto& [key, value] : metadata.items()) {
    const bool known = std::find(std::begin(kKnown), std::end(kKnown), key) != std::end(kKnown);
    if (!known) {
      unknown.push_back("metadata." + key);
    } else if (!value.is_null() && !(value.is_structured() && value.empty())) {
      kept[key] = std::move(value);
    }
  }
  metadata = std::move(kept);
  return unknown;
}

void StampNew(const Resource& resource, absl::Time now, Json& object) {
  Json& metadata = object["metadata"];
  for (const char* key : {"selfLink", "resourceVersion", "generation", "deletionTimestamp",
                          "deletionGracePeriodSeconds"}) {
    metadata.erase(key);
  }
  metadata["uid"] = RandomUuid();
  metadata["creationTimestamp"] = ApiTime(now);
  if (resource.counts_generation) metadata["generation"] = 1;
}

void StampChanged(const Resource& resource, const Json& before, Json& object) {
  Json& metadata = object["metadata"];
  const Json& old = before["metadata"];
  for (const char* key :
       {"name", "namespace", "uid", "creationTimestamp", "generateName", "selfLink", "generation",
        "resourceVersion", "deletionTimestamp", "deletionGracePeriodSeconds"}) {
    if (auto it = old.find(key); it != old.end()) {
      metadata[key] = *it;
    } else {
      metadata.erase(key);
    }
  }
  if (resource.counts_generation && Desired(resource, before) != Desired(resource, object)) {
    metadata["generation"] = JsonInt(old, {"generation"}) + 1;
  }
}

std::vector<Cause> CheckMetadata(const Resource& resource, const Json& object) {
  std::vector<Cause> causes;
  const Json& metadata = object["metadata"];
  const std::string name = JsonString(metadata, {"name"});
  const bool is_label = resource.info.kind == "Namespace";
  if (name.empty()) {
    causes.push_back({"FieldValueRequired", "Required value: name or generateName is required",
                      "metadata.name"});
  } else if (is_label ? !IsLabel(name) : !IsSubdomain(name)) {
    causes.push_back(BadValue(
        "metadata.name", Json(name),
        is_label
            ? "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-'"
            : "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric "
              "characters, '-' or '.', and must start and end with an alphanumeric character"));
  }
  CheckTexts(metadata, "labels", causes);
  CheckTexts(metadata, "annotations", causes);
  CheckFinalizers(metadata, causes);
  CheckOwners(metadata, causes);
  return causes;
}

bool HasFinalizers(const Json& object) {
  const Json* finalizers = FindJson(object, {"metadata", "finalizers"});
  return finalizers != nullptr && finalizers->is_array() && !finalizers->empty();
}

bool IsDeleting(const Json& object) {
  return FindJson(object, {"metadata", "deletionTimestamp"}) != nullptr;
}

api::ObjectKey KeyOf(const Json& object) {
  return {JsonString(object, {"metadata", "namespace"}), JsonString(object, {"metadata", "name"})};
}

}  // namespace ashlar::standalone
