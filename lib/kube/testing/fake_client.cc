#include "lib/kube/testing/fake_client.h"

#include <algorithm>
#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "lib/api/selectors.h"
#include "lib/base/status_macros.h"
#include "lib/kube/object.h"

namespace ashlar::kube {
namespace {

constexpr size_t kHistory = 1000;

// Groups of custom resources are domain names outside k8s.io.
bool IsCustom(const KindInfo& kind) {
  return absl::StrContains(kind.group, '.') && !absl::EndsWith(kind.group, "k8s.io");
}

bool HasStatusSubresource(const KindInfo& kind) {
  static const std::set<std::string> kCore = {"Pod", "Node", "PersistentVolume",
                                              "PersistentVolumeClaim"};
  return IsCustom(kind) || kind.kind == "ResourceClaim" ||
         (kind.group.empty() && kCore.contains(kind.kind));
}

std::string Describe(const KindInfo& kind, const ObjectKey& key) {
  return absl::StrCat(kind.plural, kind.group.empty() ? "" : ".", kind.group, " \"", key.name,
                      "\"");
}

absl::Status NotFound(const KindInfo& kind, const ObjectKey& key) {
  return absl::NotFoundError(absl::StrCat(Describe(kind, key), " not found"));
}

absl::Status Conflict(const KindInfo& kind, const ObjectKey& key, absl::string_view why) {
  return absl::AbortedError(
      absl::StrCat("Operation cannot be fulfilled on ", Describe(kind, key), ": ", why));
}

// RFC 1123: what the names of objects may be.
absl::Status CheckName(const KindInfo& kind, const std::string& name) {
  const bool fine =
      !name.empty() && name.size() <= 253 && absl::ascii_isalnum(name.front()) &&
      absl::ascii_isalnum(name.back()) && std::all_of(name.begin(), name.end(), [](char c) {
        return absl::ascii_islower(c) || absl::ascii_isdigit(c) || c == '-' || c == '.';
      });
  if (fine) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(kind.kind, " \"", name,
                   "\" is invalid: metadata.name: a lowercase RFC 1123 subdomain must "
                   "consist of lower case alphanumeric characters, '-' or '.'"));
}

absl::Status CheckShape(const KindInfo& kind, const Json& object) {
  const ObjectKey key = KeyOf(object);
  if (!object.is_object() || JsonString(object, {"kind"}) != kind.kind ||
      JsonString(object, {"apiVersion"}) != kind.ApiVersion()) {
    return absl::InvalidArgumentError(
        absl::StrCat("object is not a ", kind.kind, " of ", kind.ApiVersion()));
  }
  if (kind.namespaced == key.space.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(kind.kind, " \"", key.name, "\": metadata.namespace ",
                     kind.namespaced ? "is required" : "must be empty for a cluster-scoped kind"));
  }
  return absl::OkStatus();
}

// Metadata that only the server writes.
constexpr const char* kServerFields[] = {"uid",
                                         "resourceVersion",
                                         "generation",
                                         "creationTimestamp",
                                         "deletionTimestamp",
                                         "deletionGracePeriodSeconds",
                                         "managedFields"};

void TakeServerFields(const Json& from, Json& into) {
  for (const char* field : kServerFields) {
    into["metadata"].erase(field);
    if (from.contains("metadata") && from["metadata"].contains(field))
      into["metadata"][field] = from["metadata"][field];
  }
}

void TakeMember(const Json& from, Json& into, const char* member) {
  into.erase(member);
  if (from.contains(member)) into[member] = from[member];
}

// The object without what a change of generation ignores.
Json SpecPart(Json object) {
  object.erase("metadata");
  object.erase("status");
  return object;
}

bool HasFinalizers(const Json& object) {
  const Json* finalizers = FindJson(object, {"metadata", "finalizers"});
  return finalizers != nullptr && finalizers->is_array() && !finalizers->empty();
}

// What a write to `subresource` makes of the stored object.
Json Overlay(const KindInfo& kind, const Json& stored, const Json& object,
             Subresource subresource) {
  if (subresource == Subresource::kStatus) {
    Json next = stored;
    TakeMember(object, next, "status");
    return next;
  }
  Json next = object;
  TakeServerFields(stored, next);
  if (HasStatusSubresource(kind)) TakeMember(stored, next, "status");
  return next;
}

}  // namespace

struct FakeClient::Selection {
  KindKey kind;
  std::string space;
  api::LabelSelector labels;
  api::FieldSelector fields;

  static absl::StatusOr<Selection> Parse(const KindInfo& kind, const std::string& space,
                                         const std::string& labels, const std::string& fields) {
    ASHLAR_ASSIGN_OR_RETURN(api::LabelSelector by_label, api::LabelSelector::Parse(labels));
    ASHLAR_ASSIGN_OR_RETURN(api::FieldSelector by_field, api::FieldSelector::Parse(fields));
    return Selection{{kind.group, kind.plural}, space, std::move(by_label), std::move(by_field)};
  }
  bool Selects(const Json& object) const {
    if (object.is_null() || (!space.empty() && KeyOf(object).space != space)) return false;
    const Json* object_labels = FindJson(object, {"metadata", "labels"});
    return labels.Matches(object_labels == nullptr ? Json() : *object_labels) &&
           fields.Matches(object);
  }
};

absl::StatusOr<Json> FakeClient::Get(const CallContext& context, const KindInfo& kind,
                                     const ObjectKey& key) {
  ASHLAR_RETURN_IF_ERROR(CheckContext(clock_, context));
  MutexLock lock(mu_);
  const Objects& objects = kinds_[{kind.group, kind.plural}];
  auto it = objects.find(key);
  if (it == objects.end()) return NotFound(kind, key);
  return it->second.object;
}

absl::StatusOr<ListResult> FakeClient::List(const CallContext& context, const KindInfo& kind,
                                            const ListOptions& options) {
  ASHLAR_RETURN_IF_ERROR(CheckContext(clock_, context));
  ASHLAR_ASSIGN_OR_RETURN(
      const Selection selection,
      Selection::Parse(kind, options.space, options.label_selector, options.field_selector));
  MutexLock lock(mu_);
  ListResult result;
  for (const auto& [key, stored] : kinds_[selection.kind]) {
    if (selection.Selects(stored.object)) result.items.push_back(stored.object);
  }
  result.resource_version = absl::StrCat(version_);
  return result;
}

absl::StatusOr<Json> FakeClient::Create(const CallContext& context, const KindInfo& kind,
                                        const Json& object) {
  ASHLAR_RETURN_IF_ERROR(CheckContext(clock_, context));
  ASHLAR_RETURN_IF_ERROR(CheckShape(kind, object));
  MutexLock lock(mu_);
  Json made = object;
  const std::string prefix = JsonString(object, {"metadata", "generateName"});
  if (JsonString(object, {"metadata", "name"}).empty() && !prefix.empty())
    made["metadata"]["name"] = absl::StrFormat("%s%05x", prefix, next_uid_ * 7919 % 0xfffff);
  if (HasStatusSubresource(kind)) made.erase("status");
  return CreateLocked(kind, std::move(made), {});
}

absl::StatusOr<Json> FakeClient::CreateLocked(const KindInfo& kind, Json object,
                                              FieldOwnership ownership) {
  const ObjectKey key = KeyOf(object);
  ASHLAR_RETURN_IF_ERROR(CheckName(kind, key.name));
  if (!VersionOf(object).empty())
    return absl::InvalidArgumentError("resourceVersion should not be set on objects to be created");
  Objects& objects = kinds_[{kind.group, kind.plural}];
  if (objects.contains(key))
    return absl::AlreadyExistsError(absl::StrCat(Describe(kind, key), " already exists"));
  TakeServerFields(Json::object(), object);
  Json& metadata = object["metadata"];
  metadata["uid"] = absl::StrFormat("00000000-0000-4000-8000-%012x", next_uid_++);
  metadata["creationTimestamp"] =
      absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", clock_.Now(), absl::UTCTimeZone());
  if (IsCustom(kind)) metadata["generation"] = 1;
  Record(kind, WatchEvent::Type::kAdded, object, nullptr);
  objects[key] = {object, std::move(ownership)};
  return object;
}

absl::StatusOr<Json> FakeClient::Update(const CallContext& context, const KindInfo& kind,
                                        const Json& object, Subresource subresource) {
  ASHLAR_RETURN_IF_ERROR(CheckContext(clock_, context));
  ASHLAR_RETURN_IF_ERROR(CheckShape(kind, object));
  MutexLock lock(mu_);
  const ObjectKey key = KeyOf(object);
  Objects& objects = kinds_[{kind.group, kind.plural}];
  auto it = objects.find(key);
  if (it == objects.end()) return NotFound(kind, key);
  const Json& stored = it->second.object;
  if (!VersionOf(object).empty() && VersionOf(object) != VersionOf(stored))
    return Conflict(kind, key,
                    "the object has been modified; please apply your changes to the "
                    "latest version and try again");
  const std::string uid = JsonString(object, {"metadata", "uid"});
  if (!uid.empty() && uid != JsonString(stored, {"metadata", "uid"}))
    return Conflict(kind, key, "metadata.uid does not match");
  Json next = Overlay(kind, stored, object, subresource);
  it->second.ownership.NoteUpdate(stored, next);
  return Commit(kind, key, it->second, std::move(next));
}

absl::StatusOr<Json> FakeClient::Apply(const CallContext& context, const KindInfo& kind,
                                       const Json& object, const ApplyOptions& options) {
  ASHLAR_RETURN_IF_ERROR(CheckContext(clock_, context));
  ASHLAR_RETURN_IF_ERROR(CheckShape(kind, object));
  if (options.field_manager.empty())
    return absl::InvalidArgumentError("fieldManager: is required for apply patch");
  MutexLock lock(mu_);
  const ObjectKey key = KeyOf(object);
  Objects& objects = kinds_[{kind.group, kind.plural}];
  auto it = objects.find(key);
  if (it != objects.end()) return ApplyToExisting(kind, key, it->second, object, options);
  if (options.subresource == Subresource::kStatus) return NotFound(kind, key);
  if (!JsonString(object, {"metadata", "uid"}).empty())
    return Conflict(kind, key, "uid mismatch: the object does not exist");
  Json applied = object;
  if (HasStatusSubresource(kind)) applied.erase("status");
  FieldOwnership ownership;
  ASHLAR_ASSIGN_OR_RETURN(Json made,
                          ownership.Apply(Json::object(), applied, options.field_manager, true));
  return CreateLocked(kind, std::move(made), std::move(ownership));
}

absl::StatusOr<Json> FakeClient::ApplyToExisting(const KindInfo& kind, const ObjectKey& key,
                                                 Stored& stored, const Json& object,
                                                 const ApplyOptions& options) {
  const std::string version = VersionOf(object);
  if (!version.empty() && version != VersionOf(stored.object))
    return Conflict(kind, key, "the object has been modified");
  Json applied = object;
  const bool status = options.subresource == Subresource::kStatus;
  if (status) {
    applied = {{"apiVersion", object["apiVersion"]}, {"kind", object["kind"]}};
    TakeMember(object, applied, "status");
    applied["metadata"]["name"] = key.name;
    if (!key.space.empty()) applied["metadata"]["namespace"] = key.space;
  } else {
    TakeServerFields(Json::object(), applied);
    if (HasStatusSubresource(kind)) applied.erase("status");
  }
  FieldOwnership ownership = stored.ownership;
  ASHLAR_ASSIGN_OR_RETURN(
      Json next,
      ownership.Apply(stored.object, applied,
                      absl::StrCat(options.field_manager, status ? "/status" : ""), options.force));
  stored.ownership = std::move(ownership);
  return Commit(kind, key, stored, std::move(next));
}

absl::Status FakeClient::Delete(const CallContext& context, const KindInfo& kind,
                                const ObjectKey& key, const DeleteOptions& options) {
  ASHLAR_RETURN_IF_ERROR(CheckContext(clock_, context));
  MutexLock lock(mu_);
  Objects& objects = kinds_[{kind.group, kind.plural}];
  auto it = objects.find(key);
  if (it == objects.end()) return NotFound(kind, key);
  Json next = it->second.object;
  if (!options.uid.empty() && options.uid != JsonString(next, {"metadata", "uid"}))
    return Conflict(kind, key, "the UID in the precondition does not match");
  if (!options.resource_version.empty() && options.resource_version != VersionOf(next))
    return Conflict(kind, key, "the ResourceVersion in the precondition does not match");
  if (IsBeingDeleted(next)) return absl::OkStatus();
  next["metadata"]["deletionTimestamp"] =
      absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", clock_.Now(), absl::UTCTimeZone());
  next["metadata"]["deletionGracePeriodSeconds"] = 0;
  Commit(kind, key, it->second, std::move(next));
  return absl::OkStatus();
}

Json FakeClient::Commit(const KindInfo& kind, const ObjectKey& key, Stored& stored, Json next) {
  if (IsBeingDeleted(next) && !HasFinalizers(next)) {
    Json before = std::move(stored.object);
    kinds_[{kind.group, kind.plural}].erase(key);
    Record(kind, WatchEvent::Type::kDeleted, next, std::move(before));
    return next;
  }
  if (next == stored.object) return next;
  const bool deletion_begins = IsBeingDeleted(next) && !IsBeingDeleted(stored.object);
  if (IsCustom(kind) && (deletion_begins || SpecPart(next) != SpecPart(stored.object)))
    next["metadata"]["generation"] = JsonInt(next, {"metadata", "generation"}) + 1;
  Json before = std::move(stored.object);
  Record(kind, WatchEvent::Type::kModified, next, std::move(before));
  stored.object = next;
  return next;
}

void FakeClient::Record(const KindInfo& kind, WatchEvent::Type type, Json& object, Json before) {
  object["metadata"]["resourceVersion"] = absl::StrCat(++version_);
  history_.push_back({version_, {kind.group, kind.plural}, type, object, std::move(before)});
  if (history_.size() > kHistory) {
    oldest_watchable_ = history_.front().version;
    history_.pop_front();
  }
  changed_.NotifyAll();
}

absl::StatusOr<std::vector<WatchEvent>> FakeClient::EventsAfter(int64_t& from,
                                                                const Selection& selection) {
  if (from < oldest_watchable_)
    return absl::OutOfRangeError(
        absl::StrCat("too old resource version: ", from, " (", oldest_watchable_, ")"));
  std::vector<WatchEvent> events;
  for (const Change& change : history_) {
    if (change.version <= from || change.kind != selection.kind) continue;
    const bool was = selection.Selects(change.before);
    const bool is = change.type != WatchEvent::Type::kDeleted && selection.Selects(change.object);
    if (is) {
      events.push_back(
          {was ? WatchEvent::Type::kModified : WatchEvent::Type::kAdded, change.object});
    } else if (was) {
      // Whoever selects by content sees the last state that was selected, at the new version.
      Json last = change.before;
      last["metadata"]["resourceVersion"] = absl::StrCat(change.version);
      events.push_back({WatchEvent::Type::kDeleted, std::move(last)});
    }
  }
  from = version_;
  return events;
}

absl::StatusOr<std::vector<WatchEvent>> FakeClient::AwaitEvents(const CallContext& context,
                                                                int64_t& from, int64_t epoch,
                                                                int64_t& bookmarks,
                                                                const Selection& selection,
                                                                bool& ended) {
  MutexLock lock(mu_);
  for (;;) {
    ASHLAR_RETURN_IF_ERROR(CheckContext(clock_, context));
    ASHLAR_ASSIGN_OR_RETURN(std::vector<WatchEvent> events, EventsAfter(from, selection));
    if (bookmarks != bookmarks_) {
      bookmarks = bookmarks_;
      Json mark{{"metadata", {{"resourceVersion", absl::StrCat(version_)}}}};
      events.push_back({WatchEvent::Type::kBookmark, std::move(mark)});
    }
    ended = epoch != watch_epoch_;
    if (ended || !events.empty()) return events;
    clock_.WaitUntil(changed_, mu_, context.deadline);
  }
}

absl::Status FakeClient::Watch(const CallContext& context, const KindInfo& kind,
                               const WatchOptions& options,
                               absl::FunctionRef<absl::Status(WatchEvent)> event) {
  int64_t from = 0;
  if (!absl::SimpleAtoi(options.resource_version, &from))
    return absl::InvalidArgumentError(
        absl::StrCat("resourceVersion: \"", options.resource_version, "\" is not a version"));
  ASHLAR_ASSIGN_OR_RETURN(
      const Selection selection,
      Selection::Parse(kind, options.space, options.label_selector, options.field_selector));
  std::stop_callback wake(context.stop, [this] {
    MutexLock lock(mu_);
    changed_.NotifyAll();
  });
  int64_t epoch, bookmarks;
  {
    MutexLock lock(mu_);
    epoch = watch_epoch_;
    bookmarks = bookmarks_;
    ++watches_;
    last_watch_ = {last_watch_.number + 1, options.resource_version};
    changed_.NotifyAll();
  }
  absl::Status result;
  bool ended = false;
  while (result.ok() && !ended) {
    auto events = AwaitEvents(context, from, epoch, bookmarks, selection, ended);
    result = events.status();
    for (size_t i = 0; result.ok() && i < events->size(); ++i) {
      result = event(std::move((*events)[i]));
    }
  }
  MutexLock lock(mu_);
  --watches_;
  return result;
}

void FakeClient::Put(const KindInfo& kind, Json object) {
  MutexLock lock(mu_);
  object["apiVersion"] = kind.ApiVersion();
  object["kind"] = kind.kind;
  const ObjectKey key = KeyOf(object);
  Objects& objects = kinds_[{kind.group, kind.plural}];
  auto it = objects.find(key);
  const bool present = it != objects.end();
  if (JsonString(object, {"metadata", "uid"}).empty())
    object["metadata"]["uid"] = present
                                    ? JsonString(it->second.object, {"metadata", "uid"})
                                    : absl::StrFormat("00000000-0000-4000-8000-%012x", next_uid_++);
  Record(kind, present ? WatchEvent::Type::kModified : WatchEvent::Type::kAdded, object,
         present ? it->second.object : Json());
  objects[key].object = std::move(object);
}

absl::StatusOr<bool> FakeClient::Serves(const CallContext& context, const KindInfo& kind) {
  ASHLAR_RETURN_IF_ERROR(CheckContext(clock_, context));
  if (kind.ApiVersion() == "v1" || kind.ApiVersion() == "ashlar.dev/v1alpha1") return true;
  MutexLock lock(mu_);
  return served_.contains({kind.ApiVersion(), kind.plural});
}

void FakeClient::Serve(const KindInfo& kind, bool serves) {
  MutexLock lock(mu_);
  if (serves)
    served_.insert({kind.ApiVersion(), kind.plural});
  else
    served_.erase({kind.ApiVersion(), kind.plural});
}

void FakeClient::ForgetHistory() {
  MutexLock lock(mu_);
  history_.clear();
  oldest_watchable_ = ++version_;
  changed_.NotifyAll();
}

void FakeClient::EndWatches() {
  MutexLock lock(mu_);
  ++watch_epoch_;
  changed_.NotifyAll();
}

void FakeClient::SendBookmarks() {
  MutexLock lock(mu_);
  ++bookmarks_;
  changed_.NotifyAll();
}

FakeClient::Begun FakeClient::LastWatch() {
  MutexLock lock(mu_);
  return last_watch_;
}

void FakeClient::AwaitWatches(int count) {
  MutexLock lock(mu_);
  while (watches_ < count) changed_.Wait(mu_);
}

}  // namespace ashlar::kube
