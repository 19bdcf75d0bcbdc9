// The patch formats of the Kubernetes API apart from apply. No state; none of these throws.
#pragma once

#include "absl/status/statusor.h"
#include "lib/base/json.h"

namespace ashlar::standalone {

// RFC 6902. InvalidArgument names the operation that cannot be done; a failed test and a path that
// leads nowhere are 422.
absl::StatusOr<Json> JsonPatch(const Json& object, const Json& operations);

// RFC 7386.
absl::StatusOr<Json> MergePatch(const Json& object, const Json& patch);

// Kubernetes' strategic merge patch, by x-kubernetes-patch-merge-key and -patch-strategy of the
// schema.
absl::StatusOr<Json> StrategicMergePatch(const Json& object, const Json& patch, const Json& schema);

}  // namespace ashlar::standalone
