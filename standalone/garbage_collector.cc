#include "standalone/garbage_collector.h"

#include <algorithm>
#include <optional>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "lib/base/log.h"
#include "standalone/kind_rules.h"
#include "standalone/object_meta.h"

namespace ashlar::standalone {
namespace {

constexpr absl::Duration kSweepInterval = absl::Minutes(5);
constexpr absl::Duration kEventLifetime = absl::Hours(1);
constexpr size_t kBatch = 4096;

const Json* Owners(const Json& object) {
  const Json* owners = FindJson(object, {"metadata", "ownerReferences"});
  return owners != nullptr && owners->is_array() && !owners->empty() ? owners : nullptr;
}

bool OwnedBy(const Json& object, const std::string& uid) {
  const Json* owners = Owners(object);
  if (owners == nullptr) return false;
  return std::any_of(owners->begin(), owners->end(),
                     [&](const Json& owner) { return JsonString(owner, {"uid"}) == uid; });
}

bool HasFinalizer(const Json& object, const char* finalizer) {
  const Json* list = FindJson(object, {"metadata", "finalizers"});
  return list != nullptr && list->is_array() &&
         std::find(list->begin(), list->end(), Json(finalizer)) != list->end();
}

std::string Uid(const Json& object) { return JsonString(object, {"metadata", "uid"}); }

// Whether the event can leave something to do.
bool Matters(const Event& event) {
  if (event.after == nullptr) return true;
  return IsDeleting(*event.after) || Owners(*event.after) != nullptr;
}

}  // namespace

GarbageCollector::GarbageCollector(Objects& objects)
    : objects_(objects), thread_([this](const std::stop_token& stop) { Loop(stop); }) {}

GarbageCollector::~GarbageCollector() {
  thread_.request_stop();
  thread_.join();
}

void GarbageCollector::Loop(const std::stop_token& stop) {
  History& history = objects_.store().history();
  int64_t cursor = history.Version();
  Sweep();
  while (!stop.stop_requested()) {
    const absl::Time deadline = objects_.clock().Now() + kSweepInterval;
    auto events = history.After(cursor, kBatch, deadline, stop);
    if (!events.ok()) {  // fell behind: one sweep sees everything anyway
      cursor = history.Version();
      Sweep();
      continue;
    }
    if (!events->empty()) cursor = events->back()->version;
    const bool matters = std::any_of(events->begin(), events->end(),
                                     [](const auto& event) { return Matters(*event); });
    if (matters || (events->empty() && !stop.stop_requested())) Sweep();
  }
}

std::vector<GarbageCollector::Found> GarbageCollector::Everything() const {
  std::vector<Found> all;
  std::set<std::string> seen;
  for (const ResourcePtr& resource : objects_.registry().All()) {
    if (!seen.insert(resource->Storage()).second) continue;  // another version of the same
    for (ObjectPtr& object : objects_.store().List(resource->Storage(), "").objects) {
      all.push_back({resource, std::move(object)});
    }
  }
  return all;
}

void GarbageCollector::Sweep() {
  // Dependents are listed before the owners are looked for: an owner that is not there then is
  // gone.
  const std::vector<Found> all = Everything();
  SweepOwned(all);
  for (const Found& found : all) {
    if (!IsDeleting(*found.object)) continue;
    SweepDeleting(found, all);
    if (IsNamespace(*found.resource)) SweepNamespace(found, all);
    if (IsCrd(*found.resource)) SweepDefinition(found, all);
  }
  SweepEvents(all);
}

void GarbageCollector::Remove(const Found& found) {
  if (IsDeleting(*found.object)) return;
  RemoveOptions options;
  options.uid = Uid(*found.object);
  auto removed = objects_.Remove(*found.resource, KeyOf(*found.object), options);
  if (!removed.ok() && !absl::IsNotFound(removed.status()) && !absl::IsAborted(removed.status())) {
    LogWarning("garbage not removed", {{"kind", found.resource->info.kind},
                                       {"name", KeyOf(*found.object).ToString()},
                                       {"error", std::string(removed.status().message())}});
  }
}

void GarbageCollector::SweepOwned(const std::vector<Found>& all) {
  const bool any = std::any_of(all.begin(), all.end(),
                               [](const Found& f) { return Owners(*f.object) != nullptr; });
  if (!any) return;
  std::set<std::string> alive;
  for (const Found& found : Everything()) alive.insert(Uid(*found.object));
  for (const Found& found : all) {
    const Json* owners = Owners(*found.object);
    if (owners == nullptr) continue;
    const bool owned = std::any_of(owners->begin(), owners->end(), [&](const Json& owner) {
      return alive.contains(JsonString(owner, {"uid"}));
    });
    if (!owned) Remove(found);
  }
}

void GarbageCollector::SweepDeleting(const Found& owner, const std::vector<Found>& all) {
  const std::string uid = Uid(*owner.object);
  const bool orphan = HasFinalizer(*owner.object, kOrphan);
  const bool foreground = HasFinalizer(*owner.object, kForegroundDeletion);
  if (!orphan && !foreground) return;
  bool left = false;
  for (const Found& dependent : all) {
    if (!OwnedBy(*dependent.object, uid)) continue;
    if (orphan) {
      ReleaseDependent(dependent, uid);
    } else {
      Remove(dependent);
      left = left || objects_.Get(*dependent.resource, KeyOf(*dependent.object)).ok();
    }
  }
  if (left) return;
  objects_
      .DropFinalizer(*owner.resource, KeyOf(*owner.object), orphan ? kOrphan : kForegroundDeletion)
      .IgnoreError();  // the next sweep tries again
}

void GarbageCollector::ReleaseDependent(const Found& dependent, const std::string& owner_uid) {
  auto decide = [&](const Json* now) -> absl::StatusOr<std::optional<Json>> {
    if (now == nullptr) return std::optional<Json>();
    Json object = *now;
    Json kept = Json::array();
    for (const Json& owner : object["metadata"]["ownerReferences"]) {
      if (JsonString(owner, {"uid"}) != owner_uid) kept.push_back(owner);
    }
    if (kept.empty()) {
      object["metadata"].erase("ownerReferences");
    } else {
      object["metadata"]["ownerReferences"] = std::move(kept);
    }
    return std::optional<Json>(std::move(object));
  };
  auto changed =
      objects_.store().Change(dependent.resource->Storage(), KeyOf(*dependent.object), decide);
  if (!changed.ok()) LogWarning("dependent not released", {{"uid", owner_uid}});
}

void GarbageCollector::SweepNamespace(const Found& space, const std::vector<Found>& all) {
  const std::string name = KeyOf(*space.object).name;
  for (const Found& found : all) {
    if (KeyOf(*found.object).space == name) Remove(found);
  }
  for (const ResourcePtr& resource : objects_.registry().All()) {
    if (!resource->info.namespaced) continue;
    if (!objects_.store().List(resource->Storage(), name).objects.empty()) return;
  }
  auto decide = [&](const Json* now) -> absl::StatusOr<std::optional<Json>> {
    if (now == nullptr || !IsDeleting(*now)) return absl::CancelledError("not deleted any more");
    if (HasFinalizers(*now)) return std::optional<Json>(*now);
    return std::optional<Json>();
  };
  auto gone = objects_.store().Change(space.resource->Storage(), {"", name}, decide);
  if (!gone.ok() && !absl::IsCancelled(gone.status())) {
    LogWarning("namespace not removed", {{"name", name}});
  }
}

void GarbageCollector::SweepDefinition(const Found& definition, const std::vector<Found>& all) {
  const std::string storage =
      absl::StrCat(JsonString(*definition.object, {"spec", "group"}), "/",
                   JsonString(*definition.object, {"spec", "names", "plural"}));
  for (const Found& found : all) {
    if (found.resource->Storage() == storage) Remove(found);
  }
  if (!objects_.store().List(storage, "").objects.empty()) return;
  objects_.DropFinalizer(*definition.resource, KeyOf(*definition.object), kCrdCleanup)
      .IgnoreError();  // the next sweep tries again
}

void GarbageCollector::SweepEvents(const std::vector<Found>& all) {
  const absl::Time oldest = objects_.clock().Now() - kEventLifetime;
  for (const Found& found : all) {
    if (!IsEvent(*found.resource)) continue;
    std::string at = JsonString(*found.object, {"lastTimestamp"});
    if (at.empty()) at = JsonString(*found.object, {"metadata", "creationTimestamp"});
    absl::Time time;
    std::string error;
    if (absl::ParseTime(absl::RFC3339_full, at, &time, &error) && time < oldest) Remove(found);
  }
}

}  // namespace ashlar::standalone
