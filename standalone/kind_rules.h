// What only some built-in kinds need when they are written. No state.
#pragma once

#include <vector>

#include "absl/time/time.h"
#include "lib/base/json.h"
#include "standalone/api_error.h"
#include "standalone/resource.h"

namespace ashlar::standalone {

inline constexpr char kCrdCleanup[] = "customresourcecleanup.apiextensions.k8s.io";
inline constexpr char kForegroundDeletion[] = "foregroundDeletion";
inline constexpr char kOrphan[] = "orphan";

bool IsCrd(const Resource& resource);
bool IsNamespace(const Resource& resource);
bool IsEvent(const Resource& resource);

// Completes an object before it is checked: the phase of a namespace, the data of a secret, the
// status of a definition.
void Complete(const Resource& resource, absl::Time now, const Json* before, Json& object);

// What the schema of a built-in kind cannot say.
std::vector<Cause> CheckKind(const Resource& resource, const Json& object, const Json* before);

}  // namespace ashlar::standalone
