#include "standalone/store.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "lib/base/status_macros.h"

namespace ashlar::standalone {
namespace {

constexpr char kSchema[] =
    "CREATE TABLE IF NOT EXISTS object (storage TEXT NOT NULL, space TEXT NOT NULL, name TEXT NOT "
    "NULL, version INTEGER NOT NULL, json TEXT NOT NULL, PRIMARY KEY (storage, space, name)) "
    "WITHOUT ROWID";
constexpr char kVersionSchema[] =
    "CREATE TABLE IF NOT EXISTS latest (one INTEGER PRIMARY KEY CHECK (one = 1), version INTEGER "
    "NOT NULL)";

}  // namespace

absl::StatusOr<std::unique_ptr<Store>> Store::Open(const std::string& path, Clock& clock,
                                                   size_t history) {
  ASHLAR_ASSIGN_OR_RETURN(auto database, Database::Open(path));
  auto store = std::unique_ptr<Store>(new Store(std::move(database)));
  ASHLAR_RETURN_IF_ERROR(store->Load(clock, history));
  return store;
}

absl::Status Store::Load(Clock& clock, size_t history) {
  MutexLock change(change_mu_);
  ASHLAR_RETURN_IF_ERROR(database_->Run(kSchema));
  ASHLAR_RETURN_IF_ERROR(database_->Run(kVersionSchema));
  ASHLAR_RETURN_IF_ERROR(database_->Run("INSERT OR IGNORE INTO latest VALUES (1, 1)"));
  ASHLAR_RETURN_IF_ERROR(database_->Query(
      "SELECT version FROM latest", {},
      [&](const SqlRow& row) ABSL_EXCLUSIVE_LOCKS_REQUIRED(change_mu_) { version_ = row.Int(0); }));
  absl::Status damaged;
  MutexLock lock(mu_);
  ASHLAR_RETURN_IF_ERROR(database_->Query(
      "SELECT storage, space, name, json FROM object", {},
      [&](const SqlRow& row) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
        auto object = ParseJson(row.Text(3));
        if (!object.ok()) {
          damaged = absl::DataLossError(absl::StrCat("object ", row.Text(0), " ", row.Text(1), "/",
                                                     row.Text(2), ": ", object.status().message()));
          return;
        }
        shelves_[row.Text(0)][{row.Text(1), row.Text(2)}] =
            std::make_shared<const Json>(*std::move(object));
      }));
  history_ = std::make_unique<History>(clock, version_, history);
  return damaged;
}

ObjectPtr Store::Get(const std::string& storage, const api::ObjectKey& key) const {
  MutexLock lock(mu_);
  auto shelf = shelves_.find(storage);
  if (shelf == shelves_.end()) return nullptr;
  auto it = shelf->second.find(key);
  return it == shelf->second.end() ? nullptr : it->second;
}

Page Store::List(const std::string& storage, const std::string& space) const {
  MutexLock lock(mu_);
  Page page;
  page.version = history_->Version();
  auto shelf = shelves_.find(storage);
  if (shelf == shelves_.end()) return page;
  auto it = space.empty() ? shelf->second.begin() : shelf->second.lower_bound({space, ""});
  for (; it != shelf->second.end(); ++it) {
    if (!space.empty() && it->first.space != space) break;
    page.objects.push_back(it->second);
  }
  return page;
}

absl::Status Store::Save(const std::string& storage, const api::ObjectKey& key, int64_t version,
                         const Json* object) {
  return database_->Transaction([&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(change_mu_) -> absl::Status {
    if (object == nullptr) {
      ASHLAR_RETURN_IF_ERROR(
          database_->Run("DELETE FROM object WHERE storage = ? AND space = ? AND name = ?",
                         {storage, key.space, key.name}));
    } else {
      ASHLAR_RETURN_IF_ERROR(
          database_->Run("INSERT OR REPLACE INTO object VALUES (?, ?, ?, ?, ?)",
                         {storage, key.space, key.name, version, DumpJson(*object)}));
    }
    return database_->Run("UPDATE latest SET version = ?", {version});
  });
}

absl::StatusOr<ObjectPtr> Store::Change(const std::string& storage, const api::ObjectKey& key,
                                        Decide decide) {
  MutexLock change(change_mu_);
  const ObjectPtr before = Get(storage, key);
  ASHLAR_ASSIGN_OR_RETURN(std::optional<Json> wanted, decide(before.get()));
  if (!wanted.has_value() && before == nullptr) return ObjectPtr();
  if (wanted.has_value() && before != nullptr && *wanted == *before) return before;

  const int64_t version = version_ + 1;
  Event event = {version, storage, key, before, nullptr, nullptr};
  const bool stays = wanted.has_value();
  Json object = stays ? *std::move(wanted) : *before;
  object["metadata"]["resourceVersion"] = absl::StrCat(version);
  auto stored = std::make_shared<const Json>(std::move(object));
  (stays ? event.after : event.removed) = stored;
  ASHLAR_RETURN_IF_ERROR(Save(storage, key, version, event.after.get()));
  version_ = version;

  MutexLock lock(mu_);
  if (event.after != nullptr) {
    shelves_[storage][key] = stored;
  } else {
    shelves_[storage].erase(key);
  }
  history_->Add(std::move(event));
  return stored;
}

}  // namespace ashlar::standalone
