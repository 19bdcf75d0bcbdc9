#include "standalone/managed_fields.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "lib/base/status_macros.h"
#include "standalone/api_error.h"
#include "standalone/typed.h"

namespace ashlar::standalone {
namespace {

struct Manager {
  std::string name;
  std::string operation;  // Apply or Update
  std::string api_version;
  std::string subresource;
  std::string time;
  FieldSet fields;

  bool Same(const Manager& other) const {
    return name == other.name && operation == other.operation && subresource == other.subresource &&
           (operation == "Apply" || api_version == other.api_version);
  }
};
using Managers = std::vector<Manager>;

std::string TimeText(absl::Time time) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", time, absl::UTCTimeZone());
}

// What nobody owns, since the server sets it or it names the object.
void Strip(FieldSet& set) {
  set.member = false;
  set.children.erase("f:apiVersion");
  set.children.erase("f:kind");
  for (const char* field : {"f:name", "f:namespace", "f:creationTimestamp", "f:selfLink", "f:uid",
                            "f:generation", "f:resourceVersion", "f:managedFields",
                            "f:deletionTimestamp", "f:deletionGracePeriodSeconds"}) {
    set.RemoveTree({"f:metadata", field});
  }
  if (auto it = set.children.find("f:metadata"); it != set.children.end()) {
    it->second.member = false;
    if (it->second.children.empty()) set.children.erase(it);
  }
}

// What the endpoint cannot write is not owned through it.
void StripEndpoint(const Resource& resource, const std::string& subresource, FieldSet& set) {
  if (subresource == "status") {
    std::erase_if(set.children, [](const auto& child) { return child.first != "f:status"; });
  } else if (resource.has_status) {
    set.children.erase("f:status");
  }
}

absl::StatusOr<Managers> Decode(const Json* object) {
  Managers managers;
  const Json* list = object == nullptr ? nullptr : FindJson(*object, {"metadata", "managedFields"});
  if (list == nullptr || !list->is_array()) return managers;
  for (const Json& entry : *list) {
    if (entry.is_object() && entry.empty()) continue;  // [{}] clears the list
    const Json* fields = FindJson(entry, {"fieldsV1"});
    if (fields == nullptr) return absl::InvalidArgumentError("managedFields: no fieldsV1");
    Manager manager = {JsonString(entry, {"manager"}),    JsonString(entry, {"operation"}),
                       JsonString(entry, {"apiVersion"}), JsonString(entry, {"subresource"}),
                       JsonString(entry, {"time"}),       {}};
    ASHLAR_ASSIGN_OR_RETURN(manager.fields, FieldSet::FromJson(*fields));
    managers.push_back(std::move(manager));
  }
  return managers;
}

void Encode(const Managers& managers, Json& object) {
  Json list = Json::array();
  for (const Manager& manager : managers) {
    if (manager.fields.empty()) continue;
    Json entry = {{"manager", manager.name},           {"operation", manager.operation},
                  {"apiVersion", manager.api_version}, {"time", manager.time},
                  {"fieldsType", "FieldsV1"},          {"fieldsV1", manager.fields.ToJson()}};
    if (!manager.subresource.empty()) entry["subresource"] = manager.subresource;
    list.push_back(std::move(entry));
  }
  if (list.empty()) {
    object["metadata"].erase("managedFields");
  } else {
    object["metadata"]["managedFields"] = std::move(list);
  }
}

Manager Entry(const Resource& resource, const Writer& writer, const char* operation) {
  return {writer.manager,       operation, resource.info.ApiVersion(), writer.subresource,
          TimeText(writer.now), {}};
}

// The managers to start from: what the client sent, if it is valid, else those of the object.
Managers Base(const Json* before, const Json& after) {
  const Json* sent = FindJson(after, {"metadata", "managedFields"});
  if (sent != nullptr) {
    auto decoded = Decode(&after);
    if (decoded.ok()) return *std::move(decoded);
  }
  auto decoded = Decode(before);
  return decoded.ok() ? *std::move(decoded) : Managers();
}

Json Bare(const Json& object) {
  Json bare = object;
  bare["metadata"].erase("managedFields");
  return bare;
}

struct Conflicts {
  std::vector<Cause> causes;
};

Conflicts FindConflicts(const Managers& managers, const Manager& me, const FieldSet& changed) {
  Conflicts conflicts;
  for (const Manager& other : managers) {
    if (other.Same(me)) continue;
    for (const std::string& path : other.fields.Intersection(changed).Paths()) {
      std::string who = absl::StrCat("conflict with \"", other.name, "\"");
      if (!other.subresource.empty())
        absl::StrAppend(&who, " with subresource \"", other.subresource, "\"");
      if (other.operation == "Update") absl::StrAppend(&who, " using ", other.api_version);
      conflicts.causes.push_back({"FieldManagerConflict", who, path});
    }
  }
  return conflicts;
}

// Takes what changed from everybody but `me`, and what is gone from all of them.
void TakeOver(Managers& managers, const Manager& me, const Difference& difference) {
  for (Manager& manager : managers) {
    if (!manager.Same(me)) manager.fields.Remove(difference.changed);
    manager.fields.Remove(difference.removed);
  }
}

Manager& FindOrAdd(Managers& managers, const Manager& me) {
  for (Manager& manager : managers) {
    if (manager.Same(me)) return manager;
  }
  managers.push_back(me);
  return managers.back();
}

FieldSet OthersFields(const Managers& managers, const Manager& me) {
  FieldSet all;
  for (const Manager& manager : managers) {
    if (!manager.Same(me)) all.Add(manager.fields);
  }
  return all;
}

// The owners of `merged` before the writer's own fields are set; the writer's old fields are gone
// from it where nobody else has them.
Json Prune(const Resource& resource, const Managers& managers, const Manager& me,
           const FieldSet& applied, const Json& merged) {
  for (const Manager& manager : managers) {
    if (!manager.Same(me)) continue;
    FieldSet dropped = manager.fields;
    dropped.Remove(applied);
    FieldSet kept = OthersFields(managers, me);
    kept.Add(applied);
    return Without(merged, dropped, kept, resource.typed);
  }
  return merged;
}

}  // namespace

void TrackUpdate(const Resource& resource, const Writer& writer, const Json* before, Json& after) {
  Managers managers = Base(before, after);
  const Json bare_after = Bare(after);
  const Json bare_before = before == nullptr ? Json() : Bare(*before);
  Difference difference =
      Compare(before == nullptr ? nullptr : &bare_before, bare_after, resource.typed);
  Strip(difference.changed);
  Strip(difference.removed);
  StripEndpoint(resource, writer.subresource, difference.changed);
  const Manager me = Entry(resource, writer, "Update");
  TakeOver(managers, me, difference);
  if (!difference.changed.empty()) {
    Manager& mine = FindOrAdd(managers, me);
    mine.fields.Add(difference.changed);
    mine.time = me.time;
  }
  Encode(managers, after);
}

absl::StatusOr<Json> ApplyFields(const Resource& resource, const Writer& writer, const Json* live,
                                 const Json& applied, bool force) {
  if (FindJson(applied, {"metadata", "managedFields"}) != nullptr) {
    return BadRequest("metadata.managedFields must be nil");
  }
  ASHLAR_RETURN_IF_ERROR(CheckLists(applied, resource.typed));
  ASHLAR_ASSIGN_OR_RETURN(Managers managers, Decode(live));
  const Manager me = Entry(resource, writer, "Apply");
  FieldSet mine = FieldsOf(applied, resource.typed);
  Strip(mine);
  StripEndpoint(resource, writer.subresource, mine);

  const Json base = live == nullptr ? Json() : Bare(*live);
  Json merged = live == nullptr ? applied : Merge(base, applied, resource.typed);
  merged = Prune(resource, managers, me, mine, merged);

  Difference difference = Compare(live == nullptr ? nullptr : &base, merged, resource.typed);
  Strip(difference.changed);
  Strip(difference.removed);
  Conflicts conflicts = FindConflicts(managers, me, difference.changed);
  if (!force && !conflicts.causes.empty()) return ApplyConflict(conflicts.causes);
  TakeOver(managers, me, difference);

  Manager& entry = FindOrAdd(managers, me);
  const bool same = entry.fields == mine && live != nullptr && merged == base;
  if (!same || entry.api_version != me.api_version) entry.time = me.time;
  entry.fields = std::move(mine);
  entry.api_version = me.api_version;
  Encode(managers, merged);
  return merged;
}

}  // namespace ashlar::standalone
