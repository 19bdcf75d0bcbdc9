// Store: every object of the API, in memory for reading, in SQLite so that it outlives the process.
// One resourceVersion grows with each change of any object. Thread-safe.
//
// A change is synced to disk before any reader or watch sees it; a crash at any instruction leaves
// either the old or the new state, and a version is never given twice.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "lib/api/kind_info.h"
#include "lib/base/clock.h"
#include "lib/base/json.h"
#include "lib/base/mutex.h"
#include "standalone/database.h"
#include "standalone/history.h"

namespace ashlar::standalone {

struct Page {
  std::vector<ObjectPtr> objects;  // by namespace, then name
  int64_t version = 0;             // what a watch goes on from
};

class Store {
 public:
  // `history`: how many events watches can go back.
  static absl::StatusOr<std::unique_ptr<Store>> Open(const std::string& path, Clock& clock,
                                                     size_t history = 16384);

  // nullptr if absent.
  ObjectPtr Get(const std::string& storage, const api::ObjectKey& key) const;
  // All objects, or those of one namespace.
  Page List(const std::string& storage, const std::string& space) const;

  // Decides what an object becomes: a value (created or changed), nullopt (removed), or an error,
  // which changes nothing. It gets nullptr if the object is absent. It runs while no other change
  // does, and must not call the store's Change. A value equal to the present one changes nothing.
  using Decide = absl::FunctionRef<absl::StatusOr<std::optional<Json>>(const Json* now)>;
  // Answers the object as stored, with its resourceVersion; for a removed one its last state.
  absl::StatusOr<ObjectPtr> Change(const std::string& storage, const api::ObjectKey& key,
                                   Decide decide);

  History& history() { return *history_; }

 private:
  using Shelf = std::map<api::ObjectKey, ObjectPtr>;
  explicit Store(std::unique_ptr<Database> database) : database_(std::move(database)) {}
  absl::Status Load(Clock& clock, size_t history);
  absl::Status Save(const std::string& storage, const api::ObjectKey& key, int64_t version,
                    const Json* object) ABSL_EXCLUSIVE_LOCKS_REQUIRED(change_mu_);

  // Held over the whole of a change, with its sync: changes are one after the other by design.
  Mutex change_mu_;
  const std::unique_ptr<Database> database_ ABSL_PT_GUARDED_BY(change_mu_);
  int64_t version_ ABSL_GUARDED_BY(change_mu_) = 1;

  mutable Mutex mu_;
  std::map<std::string, Shelf> shelves_ ABSL_GUARDED_BY(mu_);
  std::unique_ptr<History> history_;
};

}  // namespace ashlar::standalone
