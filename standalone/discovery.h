// The discovery documents: which groups, versions and resources are served. No state.
#pragma once

#include <optional>
#include <string>

#include "lib/base/json.h"
#include "standalone/registry.h"

namespace ashlar::standalone {

// The document at a path such as /api, /api/v1, /apis, /apis/ashlar.dev/v1alpha1 or /version;
// nothing if there is none.
std::optional<Json> DiscoveryDocument(const Registry& registry, const std::string& path);

}  // namespace ashlar::standalone
