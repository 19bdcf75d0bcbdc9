// Objects: reading and writing objects by the rules of the Kubernetes API: defaults, checks,
// optimistic concurrency, field managers, generation, finalizers. Thread-safe.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "lib/api/kind_info.h"
#include "lib/base/clock.h"
#include "lib/base/json.h"
#include "standalone/registry.h"
#include "standalone/resource.h"
#include "standalone/store.h"

namespace ashlar::standalone {

enum class FieldValidation { kIgnore, kWarn, kStrict };

struct WriteOptions {
  std::string manager = "unknown";
  std::string subresource;  // "" or "status"
  bool dry_run = false;
  FieldValidation validation = FieldValidation::kWarn;
  bool force = false;  // of an apply
};

enum class PatchType { kJson, kMerge, kStrategic, kApply };

struct RemoveOptions {
  std::string uid;
  std::string resource_version;
  std::string propagation;  // Background, Foreground, Orphan; empty: Background
  bool dry_run = false;
};

struct Written {
  ObjectPtr object;
  bool created = false;
  bool removed = false;               // the object is gone now
  std::vector<std::string> warnings;  // for the header of that name
};

class Objects {
 public:
  Objects(Store& store, Registry& registry, Clock& clock)
      : store_(store), registry_(registry), clock_(clock) {}

  absl::StatusOr<ObjectPtr> Get(const Resource& resource, const api::ObjectKey& key) const;
  // `space`: of the path; the body's must be the same or absent.
  absl::StatusOr<Written> Create(const Resource& resource, const std::string& space, Json object,
                                 const WriteOptions& options);
  absl::StatusOr<Written> Update(const Resource& resource, const api::ObjectKey& key, Json object,
                                 const WriteOptions& options);
  // An apply creates the object if it is absent; the other patches answer NotFound.
  absl::StatusOr<Written> Patch(const Resource& resource, const api::ObjectKey& key, PatchType type,
                                const Json& patch, const WriteOptions& options);
  absl::StatusOr<Written> Remove(const Resource& resource, const api::ObjectKey& key,
                                 const RemoveOptions& options);

  // Removes one finalizer without any other check; absent objects and finalizers are fine.
  absl::Status DropFinalizer(const Resource& resource, const api::ObjectKey& key,
                             const std::string& finalizer);
  // Serves what the stored definitions define; to be called once before the first request.
  absl::Status LoadDefinitions();

  Store& store() { return store_; }
  Registry& registry() { return registry_; }
  Clock& clock() { return clock_; }

 private:
  // Makes the wanted object out of the present one (nullptr if absent).
  using Make = absl::FunctionRef<absl::StatusOr<Json>(const Json* now)>;
  absl::StatusOr<Written> Write(const Resource& resource, const api::ObjectKey& key, Make make,
                                bool tracked, const WriteOptions& options);
  absl::StatusOr<Json> Admit(const Resource& resource, const api::ObjectKey& key,
                             const Json* before, Json object, bool tracked,
                             const WriteOptions& options, std::vector<std::string>& warnings) const;
  absl::Status CheckNamespace(const Resource& resource, const std::string& space) const;
  void Serve(const Resource& resource, const Json& object, bool removed);

  Store& store_;
  Registry& registry_;
  Clock& clock_;
};

}  // namespace ashlar::standalone
