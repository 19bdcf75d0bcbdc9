// What the API server does with metadata (metav1.ObjectMeta): what it sets, keeps and refuses. No
// state.
#pragma once

#include <string>
#include <vector>

#include "absl/time/time.h"
#include "lib/base/json.h"
#include "standalone/api_error.h"
#include "standalone/resource.h"

namespace ashlar::standalone {

// Times as the API writes them: seconds, UTC.
std::string ApiTime(absl::Time time);

// Removes what ObjectMeta does not know and answers the paths. Nulls and empty maps go silently.
std::vector<std::string> PruneMetadata(Json& object);

// uid, creationTimestamp, generation and the name from generateName for a new object.
void StampNew(const Resource& resource, absl::Time now, Json& object);

// Puts back what only the server sets, and counts the generation if the spec changed.
void StampChanged(const Resource& resource, const Json& before, Json& object);

// What is wrong with name, namespace, labels, annotations, finalizers or owners.
std::vector<Cause> CheckMetadata(const Resource& resource, const Json& object);

bool HasFinalizers(const Json& object);
bool IsDeleting(const Json& object);
api::ObjectKey KeyOf(const Json& object);

}  // namespace ashlar::standalone
