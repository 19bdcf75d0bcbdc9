#include "lib/runtime/informer.h"

#include <set>

#include "lib/base/log.h"
#include "lib/base/status_macros.h"
#include "lib/kube/object.h"

namespace ashlar::runtime {

using kube::CompareVersions;

Informer::Informer(kube::Client& client, api::KindInfo kind, Clock& clock, InformerOptions options)
    : client_(client), kind_(std::move(kind)), clock_(clock), options_(std::move(options)) {}

void Informer::Run(std::stop_token stop) {
  const CallContext context{.stop = stop};
  int failures = 0;
  while (!stop.stop_requested()) {
    const absl::Status listed = ListOnce(context);
    if (listed.ok()) {
      failures = 0;
      Follow(context);
      continue;
    }
    if (stop.stop_requested()) return;
    NoteListError(listed);
    SleepFor(clock_, context, options_.backoff.Delay(++failures)).IgnoreError();
  }
}

absl::Status Informer::ListOnce(const CallContext& context) {
  auto listed = client_.List(context, kind_,
                             {.space = options_.space,
                              .label_selector = options_.label_selector,
                              .field_selector = options_.field_selector});
  if (!listed.ok()) return listed.status();
  Replace(std::move(listed->items), listed->resource_version);
  return absl::OkStatus();
}

void Informer::Follow(const CallContext& context) {
  absl::Time resync = clock_.Now() + options_.resync;
  int failures = 0;
  while (!context.stop.stop_requested()) {
    const absl::Time began = clock_.Now();
    bool saw_event = false;
    const absl::Status ended = WatchOnce(context.Until(resync), saw_event);
    if (context.stop.stop_requested() || absl::IsOutOfRange(ended)) return;
    if (saw_event) failures = 0;
    if (clock_.Now() >= resync) {
      resync = clock_.Now() + options_.resync;
      std::vector<api::ObjectKey> keys;
      for (const ObjectPtr& object : List()) keys.push_back(kube::KeyOf(*object));
      Notify(keys);
      continue;
    }
    // A server that ends every watch at once must not be asked without a pause.
    const bool too_short = !saw_event && clock_.Now() - began < absl::Seconds(1);
    if (ended.ok() && !too_short) continue;
    if (!ended.ok()) LogWarning("watch broke", {{"kind", kind_.kind}, {"error", ended.ToString()}});
    SleepFor(clock_, context.Until(resync), options_.backoff.Delay(++failures)).IgnoreError();
  }
}

absl::Status Informer::WatchOnce(const CallContext& context, bool& saw_event) {
  return client_.Watch(context, kind_,
                       {.space = options_.space,
                        .label_selector = options_.label_selector,
                        .field_selector = options_.field_selector,
                        .resource_version = version()},
                       [&](kube::WatchEvent event) {
                         saw_event = true;
                         TakeIn(std::move(event));
                         return absl::OkStatus();
                       });
}

void Informer::TakeIn(kube::WatchEvent event) {
  const std::string version = kube::VersionOf(event.object);
  const api::ObjectKey key = kube::KeyOf(event.object);
  const bool bookmark = event.type == kube::WatchEvent::Type::kBookmark;
  if (version.empty() || (!bookmark && key.name.empty())) {
    LogError("skipped an object without name or resourceVersion",
             {{"kind", kind_.kind}, {"name", key.ToString()}});
    return;
  }
  {
    MutexLock lock(mu_);
    if (CompareVersions(version, version_) > 0) version_ = version;
    if (bookmark) return;
    auto it = objects_.find(key);
    // Put may have brought the version that this event tells of, or a newer one. But the answer to
    // a write that ends an object may carry the version of its end.
    const bool deleted = event.type == kube::WatchEvent::Type::kDeleted;
    if (it != objects_.end()) {
      const int order = CompareVersions(version, it->second.version);
      if (order < 0 || (order == 0 && !deleted)) return;
    }
    if (event.type == kube::WatchEvent::Type::kDeleted) {
      if (it == objects_.end()) return;
      objects_.erase(it);
    } else {
      objects_[key] = {std::make_shared<const Json>(std::move(event.object)), version};
    }
  }
  Notify({key});
}

void Informer::Put(const Json& object) {
  const api::ObjectKey key = kube::KeyOf(object);
  const std::string version = kube::VersionOf(object);
  if (key.name.empty() || version.empty()) return;
  {
    MutexLock lock(mu_);
    auto it = objects_.find(key);
    const int order = it == objects_.end() ? 1 : CompareVersions(version, it->second.version);
    if (kube::HasEnded(object)) {
      // A newer one is another object of the name.
      if (it == objects_.end() || order < 0) return;
      objects_.erase(it);
    } else {
      // What the watch has passed is in the cache, or gone; putting it back would raise the dead.
      if (order <= 0 || CompareVersions(version, version_) <= 0) return;
      objects_[key] = {std::make_shared<const Json>(object), version};
    }
  }
  Notify({key});
}

void Informer::Replace(std::vector<Json> items, const std::string& version) {
  std::set<api::ObjectKey> changed;
  {
    MutexLock lock(mu_);
    absl::flat_hash_map<api::ObjectKey, Entry> fresh;
    for (Json& item : items) {
      const api::ObjectKey key = kube::KeyOf(item);
      std::string item_version = kube::VersionOf(item);
      if (key.name.empty() || item_version.empty()) {
        LogError("skipped an object without name or resourceVersion", {{"kind", kind_.kind}});
        continue;
      }
      auto old = objects_.find(key);
      if (old == objects_.end() || old->second.version != item_version) changed.insert(key);
      fresh[key] = {std::make_shared<const Json>(std::move(item)), std::move(item_version)};
    }
    for (auto& [key, entry] : objects_) {
      if (CompareVersions(entry.version, version) > 0) {
        fresh[key] = entry;  // was Put after the list was made; the watch will confirm it
      } else if (!fresh.contains(key)) {
        changed.insert(key);
      }
    }
    objects_ = std::move(fresh);
    version_ = version;
    synced_ = true;
    list_error_ = absl::OkStatus();
    synced_changed_.NotifyAll();
  }
  Notify({changed.begin(), changed.end()});
}

void Informer::NoteListError(const absl::Status& status) {
  LogWarning("list failed", {{"kind", kind_.kind}, {"error", status.ToString()}});
  MutexLock lock(mu_);
  list_error_ = status;
}

void Informer::Notify(const std::vector<api::ObjectKey>& keys) const {
  Handlers handlers;
  {
    MutexLock lock(mu_);
    handlers = handlers_;
  }
  for (const api::ObjectKey& key : keys) {
    for (const auto& changed : handlers) changed(key);
  }
}

absl::Status Informer::AwaitSync(const CallContext& context) {
  std::stop_callback wake(context.stop, [this] {
    MutexLock lock(mu_);
    synced_changed_.NotifyAll();
  });
  MutexLock lock(mu_);
  while (!synced_) {
    const absl::Status alive = CheckContext(clock_, context);
    if (!alive.ok()) {
      return absl::Status(alive.code(),
                          absl::StrCat(kind_.plural, " were not listed; the last error: ",
                                       list_error_.ok() ? "none" : list_error_.ToString()));
    }
    clock_.WaitUntil(synced_changed_, mu_, context.deadline);
  }
  return absl::OkStatus();
}

std::string Informer::version() const {
  MutexLock lock(mu_);
  return version_;
}

ObjectPtr Informer::Get(const api::ObjectKey& key) const {
  MutexLock lock(mu_);
  auto it = objects_.find(key);
  return it == objects_.end() ? nullptr : it->second.object;
}

std::vector<ObjectPtr> Informer::List() const {
  MutexLock lock(mu_);
  std::vector<ObjectPtr> all;
  all.reserve(objects_.size());
  for (const auto& [key, entry] : objects_) all.push_back(entry.object);
  return all;
}

bool Informer::Synced() const {
  MutexLock lock(mu_);
  return synced_;
}

void Informer::AddHandler(std::function<void(const api::ObjectKey&)> changed) {
  std::vector<api::ObjectKey> present;
  {
    MutexLock lock(mu_);
    handlers_.push_back(changed);
    for (const auto& [key, entry] : objects_) present.push_back(key);
  }
  for (const api::ObjectKey& key : present) changed(key);
}

}  // namespace ashlar::runtime
