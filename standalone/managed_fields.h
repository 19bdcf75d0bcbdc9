// ManagedFields: which manager owns which field of an object (metadata.managedFields), and
// server-side apply on top of it. The rules are those of the Kubernetes documentation, "Server-Side
// Apply". No state.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "lib/base/json.h"
#include "standalone/field_set.h"
#include "standalone/resource.h"

namespace ashlar::standalone {

// Who writes, and through what.
struct Writer {
  std::string manager;
  std::string subresource;  // "" or "status"
  absl::Time now;
};

// Notes in `after` what the writer changed: it now owns those fields, and nobody else does.
// `before` is nullptr for a new object. A list of managers that the client sent along with a valid
// form counts as the state before.
void TrackUpdate(const Resource& resource, const Writer& writer, const Json* before, Json& after);

// `live` (nullptr: none) with what the writer applies, without what it applied before and no longer
// does, and with the new owners. Aborted (409) with a cause for each field that another manager
// owns with another value, unless `force`. InvalidArgument if `applied` cannot be merged.
absl::StatusOr<Json> ApplyFields(const Resource& resource, const Writer& writer, const Json* live,
                                 const Json& applied, bool force);

}  // namespace ashlar::standalone
