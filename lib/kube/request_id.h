// The id of the request that asked last for something of an object. It goes with the object, in an
// annotation, so that the log lines of all processes that work on it bear the same id. No state.
#pragma once

#include <string>

#include "lib/base/call_context.h"
#include "lib/kube/object.h"

namespace ashlar::kube {

inline constexpr char kRequestIdAnnotation[] = "ashlar.dev/request-id";

// Does nothing without an id.
inline void SetRequestId(const CallContext& context, Json& object) {
  if (!context.request_id.empty())
    object["metadata"]["annotations"][kRequestIdAnnotation] = context.request_id;
}

// Of an object that no request made, such as one of a user's, its uid.
inline std::string RequestIdOf(const Json& object) {
  const std::string id = JsonString(object, {"metadata", "annotations", kRequestIdAnnotation});
  return id.empty() ? JsonString(object, {"metadata", "uid"}) : id;
}

}  // namespace ashlar::kube
