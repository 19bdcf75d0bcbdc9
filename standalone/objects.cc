#include "standalone/objects.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "lib/base/log.h"
#include "lib/base/status_macros.h"
#include "standalone/admission.h"
#include "standalone/api_error.h"
#include "standalone/kind_rules.h"
#include "standalone/managed_fields.h"
#include "standalone/object_meta.h"
#include "standalone/patch.h"
#include "standalone/random_id.h"

namespace ashlar::standalone {
namespace {

constexpr char kModified[] =
    "the object has been modified; please apply your changes to the latest version and try again";

absl::Status CheckPreconditions(const Resource& resource, const Json& now,
                                const RemoveOptions& options) {
  const std::string name = JsonString(now, {"metadata", "name"});
  const std::string uid = JsonString(now, {"metadata", "uid"});
  if (!options.uid.empty() && options.uid != uid) {
    return Conflict(resource.info, name,
                    absl::StrCat("Precondition failed: UID in precondition: ", options.uid,
                                 ", UID in object meta: ", uid));
  }
  const std::string version = JsonString(now, {"metadata", "resourceVersion"});
  if (!options.resource_version.empty() && options.resource_version != version) {
    return Conflict(
        resource.info, name,
        absl::StrCat("Precondition failed: ResourceVersion in precondition: ",
                     options.resource_version, ", ResourceVersion in object meta: ", version));
  }
  return absl::OkStatus();
}

void AddFinalizer(Json& object, const char* finalizer) {
  Json& list = object["metadata"]["finalizers"];
  if (!list.is_array()) list = Json::array();
  if (std::find(list.begin(), list.end(), Json(finalizer)) == list.end()) list.push_back(finalizer);
}

// The object on its way out: marked, with the finalizers that its way of deletion needs.
Json Marked(const Resource& resource, const Json& now, const RemoveOptions& options,
            absl::Time time) {
  Json object = now;
  if (options.propagation == "Foreground") AddFinalizer(object, kForegroundDeletion);
  if (options.propagation == "Orphan") AddFinalizer(object, kOrphan);
  if (!IsDeleting(object)) {
    object["metadata"]["deletionTimestamp"] = ApiTime(time);
    object["metadata"]["deletionGracePeriodSeconds"] = 0;
    if (resource.counts_generation) {
      object["metadata"]["generation"] = JsonInt(object, {"metadata", "generation"}) + 1;
    }
  }
  if (IsNamespace(resource)) object["status"]["phase"] = "Terminating";
  return object;
}

// Nothing holds the object back any more. The contents of a namespace do: the garbage collector
// ends it.
bool MayGo(const Resource& resource, const Json& object) {
  return IsDeleting(object) && !HasFinalizers(object) && !IsNamespace(resource);
}

// A change that leads to nothing being stored.
absl::Status DryRun() { return absl::CancelledError("dry run"); }

}  // namespace

absl::StatusOr<ObjectPtr> Objects::Get(const Resource& resource, const api::ObjectKey& key) const {
  ObjectPtr object = store_.Get(resource.Storage(), key);
  if (object == nullptr) return NotFound(resource.info, key.name);
  return object;
}

absl::Status Objects::CheckNamespace(const Resource& resource, const std::string& space) const {
  if (!resource.info.namespaced) return absl::OkStatus();
  const api::KindInfo info = {"", "v1", "Namespace", "namespaces", false};
  ObjectPtr object = store_.Get("/namespaces", {"", space});
  if (object == nullptr) return NotFound(info, space);
  if (!IsDeleting(*object)) return absl::OkStatus();
  return Forbidden(resource.info, "",
                   absl::StrCat("unable to create new content in namespace ", space,
                                " because it is being terminated"));
}

absl::StatusOr<Json> Objects::Admit(const Resource& resource, const api::ObjectKey& key,
                                    const Json* before, Json object, bool tracked,
                                    const WriteOptions& options,
                                    std::vector<std::string>& warnings) const {
  if (before != nullptr) {
    const std::string version = JsonString(object, {"metadata", "resourceVersion"});
    if (!version.empty() && version != JsonString(*before, {"metadata", "resourceVersion"})) {
      return Conflict(resource.info, key.name, kModified);
    }
    const std::string uid = JsonString(object, {"metadata", "uid"});
    if (!uid.empty() && uid != JsonString(*before, {"metadata", "uid"})) {
      return Conflict(resource.info, key.name, "Precondition failed: the UIDs differ");
    }
  }
  KeepOtherHalf(resource, options.subresource, before, object);
  std::vector<std::string> unknown = Shape(resource, object);
  if (before == nullptr) {
    StampNew(resource, clock_.Now(), object);
  } else {
    StampChanged(resource, *before, object);
  }
  if (!unknown.empty() && options.validation == FieldValidation::kStrict) {
    return BadRequest(absl::StrCat("strict decoding error: unknown field \"",
                                   absl::StrJoin(unknown, "\", unknown field \""), "\""));
  }
  if (options.validation == FieldValidation::kWarn) {
    for (const std::string& field : unknown) {
      warnings.push_back(absl::StrCat("unknown field \"", field, "\""));
    }
  }
  std::vector<Cause> causes = Check(resource, object, before);
  if (causes.empty()) {
    Complete(resource, clock_.Now(), before, object);
    causes = CheckKind(resource, object, before);
  }
  if (!causes.empty()) return Invalid(resource.info, key.name, causes);
  if (!tracked) {
    TrackUpdate(resource, {options.manager, options.subresource, clock_.Now()}, before, object);
  }
  return object;
}

absl::StatusOr<Written> Objects::Write(const Resource& resource, const api::ObjectKey& key,
                                       Make make, bool tracked, const WriteOptions& options) {
  Written written;
  std::optional<Json> dry;
  auto decide = [&](const Json* now) -> absl::StatusOr<std::optional<Json>> {
    ASHLAR_ASSIGN_OR_RETURN(Json wanted, make(now));
    if (now == nullptr) {
      ASHLAR_RETURN_IF_ERROR(CheckNamespace(resource, key.space));
    }
    written.warnings.clear();
    ASHLAR_ASSIGN_OR_RETURN(Json object, Admit(resource, key, now, std::move(wanted), tracked,
                                               options, written.warnings));
    written.created = now == nullptr;
    if (options.dry_run) {
      dry = std::move(object);
      return DryRun();
    }
    if (MayGo(resource, object)) {
      written.removed = true;
      return std::optional<Json>();
    }
    return std::optional<Json>(std::move(object));
  };
  auto stored = store_.Change(resource.Storage(), key, decide);
  if (dry.has_value()) {
    written.object = std::make_shared<const Json>(*std::move(dry));
    return written;
  }
  if (!stored.ok()) return stored.status();
  written.object = *std::move(stored);
  Serve(resource, *written.object, written.removed);
  return written;
}

absl::StatusOr<Written> Objects::Create(const Resource& resource, const std::string& space,
                                        Json object, const WriteOptions& options) {
  ASHLAR_RETURN_IF_ERROR(CheckBody(resource, space, "", object));
  const std::string prefix = JsonString(object, {"metadata", "generateName"});
  if (JsonString(object, {"metadata", "name"}).empty() && !prefix.empty()) {
    object["metadata"]["name"] = prefix + RandomSuffix();
  }
  const api::ObjectKey key = {space, JsonString(object, {"metadata", "name"})};
  auto make = [&](const Json* now) -> absl::StatusOr<Json> {
    if (now != nullptr) return AlreadyExists(resource.info, key.name);
    if (!JsonString(object, {"metadata", "resourceVersion"}).empty()) {
      return BadRequest("resourceVersion should not be set on objects to be created");
    }
    return object;
  };
  return Write(resource, key, make, false, options);
}

absl::StatusOr<Written> Objects::Update(const Resource& resource, const api::ObjectKey& key,
                                        Json object, const WriteOptions& options) {
  ASHLAR_RETURN_IF_ERROR(CheckBody(resource, key.space, key.name, object));
  auto make = [&](const Json* now) -> absl::StatusOr<Json> {
    if (now == nullptr) return NotFound(resource.info, key.name);
    return object;
  };
  return Write(resource, key, make, false, options);
}

absl::StatusOr<Written> Objects::Patch(const Resource& resource, const api::ObjectKey& key,
                                       PatchType type, const Json& patch,
                                       const WriteOptions& options) {
  const bool apply = type == PatchType::kApply;
  Json applied = patch;
  if (apply) {
    ASHLAR_RETURN_IF_ERROR(CheckBody(resource, key.space, key.name, applied));
  }
  auto make = [&](const Json* now) -> absl::StatusOr<Json> {
    if (apply) {
      if (now == nullptr && !options.subresource.empty()) return NotFound(resource.info, key.name);
      return ApplyFields(resource, {options.manager, options.subresource, clock_.Now()}, now,
                         applied, options.force);
    }
    if (now == nullptr) return NotFound(resource.info, key.name);
    absl::StatusOr<Json> patched;
    if (type == PatchType::kJson) patched = JsonPatch(*now, patch);
    if (type == PatchType::kMerge) patched = MergePatch(*now, patch);
    if (type == PatchType::kStrategic) patched = StrategicMergePatch(*now, patch, resource.typed);
    ASHLAR_RETURN_IF_ERROR(patched.status());
    ASHLAR_RETURN_IF_ERROR(CheckBody(resource, key.space, key.name, *patched));
    return patched;
  };
  return Write(resource, key, make, apply, options);
}

absl::StatusOr<Written> Objects::Remove(const Resource& resource, const api::ObjectKey& key,
                                        const RemoveOptions& options) {
  Written written;
  std::optional<Json> dry;
  auto decide = [&](const Json* now) -> absl::StatusOr<std::optional<Json>> {
    if (now == nullptr) return NotFound(resource.info, key.name);
    ASHLAR_RETURN_IF_ERROR(CheckPreconditions(resource, *now, options));
    Json marked = Marked(resource, *now, options, clock_.Now());
    written.removed = MayGo(resource, marked);
    if (options.dry_run) {
      dry = std::move(marked);
      return DryRun();
    }
    if (written.removed) return std::optional<Json>();
    return std::optional<Json>(std::move(marked));
  };
  auto stored = store_.Change(resource.Storage(), key, decide);
  if (dry.has_value()) {
    written.object = std::make_shared<const Json>(*std::move(dry));
    return written;
  }
  if (!stored.ok()) return stored.status();
  written.object = *std::move(stored);
  Serve(resource, *written.object, written.removed);
  return written;
}

absl::Status Objects::DropFinalizer(const Resource& resource, const api::ObjectKey& key,
                                    const std::string& finalizer) {
  bool removed = false;
  auto decide = [&](const Json* now) -> absl::StatusOr<std::optional<Json>> {
    if (now == nullptr) return std::optional<Json>();
    Json object = *now;
    if (auto it = object["metadata"].find("finalizers"); it != object["metadata"].end()) {
      Json kept = Json::array();
      for (const Json& item : *it) {
        if (item != Json(finalizer)) kept.push_back(item);
      }
      if (kept.empty()) {
        object["metadata"].erase("finalizers");
      } else {
        *it = std::move(kept);
      }
    }
    removed = MayGo(resource, object);
    if (removed) return std::optional<Json>();
    return std::optional<Json>(std::move(object));
  };
  ASHLAR_ASSIGN_OR_RETURN(ObjectPtr object, store_.Change(resource.Storage(), key, decide));
  if (object != nullptr) Serve(resource, *object, removed);
  return absl::OkStatus();
}

void Objects::Serve(const Resource& resource, const Json& object, bool removed) {
  if (!IsCrd(resource)) return;
  if (removed) {
    registry_.Remove(JsonString(object, {"spec", "group"}),
                     JsonString(object, {"spec", "names", "plural"}));
    return;
  }
  auto resources = ResourcesOf(object, true);
  if (resources.ok()) {
    registry_.Put(*resources);
  } else {
    LogError("definition cannot be served", {{"name", JsonString(object, {"metadata", "name"})},
                                             {"error", std::string(resources.status().message())}});
  }
}

absl::Status Objects::LoadDefinitions() {
  ResourcePtr crd = registry_.FindKind("apiextensions.k8s.io", "CustomResourceDefinition");
  if (crd == nullptr) return absl::InternalError("CustomResourceDefinition is not built in");
  for (const ObjectPtr& object : store_.List(crd->Storage(), "").objects) {
    Serve(*crd, *object, false);
  }
  return absl::OkStatus();
}

}  // namespace ashlar::standalone
