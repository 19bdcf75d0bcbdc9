// ChangeFilter: tells whether what matters of an object has changed since it was last asked. The
// objects of others, such as Nodes, change all the time without meaning. Thread-safe.
#pragma once

#include <functional>
#include <string>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "lib/api/kind_info.h"
#include "lib/base/json.h"
#include "lib/base/mutex.h"

namespace ashlar::controller {

class ChangeFilter {
 public:
  // `matters` makes a text of what matters of an object.
  explicit ChangeFilter(std::function<std::string(const Json&)> matters)
      : matters_(std::move(matters)) {}

  // `object` is nullptr if there is none of the key. The first time of an object is a change.
  bool Changed(const api::ObjectKey& key, const Json* object) {
    const std::string now = object == nullptr ? "" : "+" + matters_(*object);
    MutexLock lock(mu_);
    if (object == nullptr) return seen_.erase(key) > 0;
    std::string& before = seen_[key];
    return std::exchange(before, now) != now;
  }

 private:
  const std::function<std::string(const Json&)> matters_;
  Mutex mu_;
  absl::flat_hash_map<api::ObjectKey, std::string> seen_ ABSL_GUARDED_BY(mu_);
};

}  // namespace ashlar::controller
