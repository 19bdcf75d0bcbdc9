// The OpenAPI documents, from which kubectl explains kinds and checks manifests. No state.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "lib/base/json.h"
#include "standalone/registry.h"

namespace ashlar::standalone {

// /openapi/v2: one Swagger 2.0 document of all kinds.
Json OpenApiV2(const Registry& registry);
// The same as the protobuf message openapi.v2.Document of gnostic, which older kubectl asks for.
absl::StatusOr<std::string> OpenApiV2Protobuf(const Json& document);

// /openapi/v3: the paths of the documents of each group and version.
Json OpenApiV3Index(const Registry& registry);
// NotFound if nothing of that group and version is served. `group` is empty for the core group.
absl::StatusOr<Json> OpenApiV3(const Registry& registry, const std::string& group,
                               const std::string& version);

}  // namespace ashlar::standalone
