// Cache: the objects of one kind as an informer saw them last. Readers get copies of shared
// pointers; what they read is never changed. Thread-safe.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "lib/api/kind_info.h"
#include "lib/base/json.h"

namespace ashlar::runtime {

using ObjectPtr = std::shared_ptr<const Json>;

class Cache {
 public:
  virtual ~Cache() = default;
  // nullptr if absent.
  virtual ObjectPtr Get(const api::ObjectKey& key) const = 0;
  virtual std::vector<ObjectPtr> List() const = 0;
  // True once the first list has been taken in: before that, absence means nothing.
  virtual bool Synced() const = 0;
  // `changed` is called after each addition, change or removal with the key, and once for every
  // object that is there already. It must not block and must not call the cache's AddHandler.
  virtual void AddHandler(std::function<void(const api::ObjectKey&)> changed) = 0;
};

}  // namespace ashlar::runtime
