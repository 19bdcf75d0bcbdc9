// What the API server's refusals mean: the one place where HTTP codes and metav1.Status become
// absl::Status (the codes stand in client.h). No state.
#pragma once

#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "lib/base/json.h"
#include "lib/http/client.h"

namespace ashlar::kube {

// `response` has a status of 400 or more. `what` begins the message: the verb and the object.
absl::Status ErrorOf(const http::Response& response, const std::string& what);

// The same for a Status object, such as the ERROR event of a watch.
absl::Status ErrorOf(const Json& status, const std::string& what);

// How long the server asks to wait (header Retry-After in seconds, or details.retryAfterSeconds).
std::optional<absl::Duration> RetryAfter(const http::Response& response);

}  // namespace ashlar::kube
