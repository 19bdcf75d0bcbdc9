// Client: the Kubernetes API as the reconcilers need it, on JSON objects. Implementations: the HTTP
// client (http_client.h) and the in-memory one (testing/fake_client.h), which pass the same
// contract suite (test/contract). Thread-safe.
//
// Status codes: NotFound; AlreadyExists (create); Aborted (409 Conflict: stale resourceVersion,
// failed precondition, or a field owned by another manager: read again); InvalidArgument (422 or
// 400: the message names the fields); OutOfRange (410: list again); PermissionDenied,
// Unauthenticated; Unavailable (429, 5xx or no connection, after the client's own retries).
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "lib/api/kind_info.h"
#include "lib/base/call_context.h"
#include "lib/base/json.h"

namespace ashlar::kube {

using api::KindInfo;
using api::ObjectKey;

struct ListOptions {
  std::string space;  // namespace; empty: all
  std::string label_selector;
  std::string field_selector;
};

struct ListResult {
  std::vector<Json> items;       // each with apiVersion and kind
  std::string resource_version;  // where a watch goes on
};

enum class Subresource { kNone, kStatus };

struct ApplyOptions {
  std::string field_manager;  // required
  bool force = true;          // take over fields that another manager owns
  Subresource subresource = Subresource::kNone;
};

struct DeleteOptions {
  std::string uid;               // only this incarnation, if set
  std::string resource_version;  // only this version, if set
};

struct WatchOptions {
  std::string space;
  std::string label_selector;
  std::string field_selector;
  std::string resource_version;  // required: from a list or an earlier event
};

struct WatchEvent {
  enum class Type { kAdded, kModified, kDeleted, kBookmark };
  Type type;
  Json object;
};

class Client {
 public:
  virtual ~Client() = default;

  virtual absl::StatusOr<Json> Get(const CallContext&, const KindInfo&, const ObjectKey&) = 0;
  // Whole, in chunks of the client's choice.
  virtual absl::StatusOr<ListResult> List(const CallContext&, const KindInfo&,
                                          const ListOptions&) = 0;
  // The object's namespace is taken from its metadata.
  virtual absl::StatusOr<Json> Create(const CallContext&, const KindInfo&, const Json& object) = 0;
  // Replaces the object, or its status, if metadata.resourceVersion is the present one; without
  // one, in any case.
  virtual absl::StatusOr<Json> Update(const CallContext&, const KindInfo&, const Json& object,
                                      Subresource) = 0;
  // Server-side apply.
  virtual absl::StatusOr<Json> Apply(const CallContext&, const KindInfo&, const Json& object,
                                     const ApplyOptions&) = 0;
  virtual absl::Status Delete(const CallContext&, const KindInfo&, const ObjectKey&,
                              const DeleteOptions&) = 0;
  // Hands over events until the context ends (Cancelled, DeadlineExceeded), `event` answers an
  // error (returned), the server ends the watch (OK: watch again from the last resourceVersion), or
  // the version is too old (OutOfRange: list again).
  virtual absl::Status Watch(const CallContext&, const KindInfo&, const WatchOptions&,
                             absl::FunctionRef<absl::Status(WatchEvent)> event) = 0;
  // Whether the server has the kind in this version, by its discovery.
  virtual absl::StatusOr<bool> Serves(const CallContext&, const KindInfo&) = 0;
};

}  // namespace ashlar::kube
