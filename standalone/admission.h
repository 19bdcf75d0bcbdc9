// The steps between the body of a request and the object that is stored. No state.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "lib/base/json.h"
#include "standalone/api_error.h"
#include "standalone/resource.h"

namespace ashlar::standalone {

// Whether the body is an object of this kind, place and name ("": any), and completes apiVersion,
// kind, namespace and name where they are absent.
absl::Status CheckBody(const Resource& resource, const std::string& space, const std::string& name,
                       Json& object);

// The endpoint of the object does not write the status, that of the status writes nothing else.
void KeepOtherHalf(const Resource& resource, const std::string& subresource, const Json* before,
                   Json& object);

// Prunes and fills in defaults; answers the unknown fields.
std::vector<std::string> Shape(const Resource& resource, Json& object);

// What is wrong with metadata and, by the schema, with the rest.
std::vector<Cause> Check(const Resource& resource, const Json& object, const Json* before);

}  // namespace ashlar::standalone
