// The errors of the Kubernetes API (metav1.Status) as absl::Status: the code tells the caller of a
// function what to do, a payload carries what the client of the API is answered. No state.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "lib/api/kind_info.h"
#include "lib/base/json.h"

namespace ashlar::standalone {

// One thing that is wrong with an object (metav1.StatusCause).
struct Cause {
  std::string reason;   // FieldValueInvalid, FieldValueRequired, FieldManagerConflict, ...
  std::string message;  // without the field
  std::string field;    // .spec.size or spec.size
};

absl::Status NotFound(const api::KindInfo& info, absl::string_view name);
absl::Status AlreadyExists(const api::KindInfo& info, absl::string_view name);
absl::Status Conflict(const api::KindInfo& info, absl::string_view name, absl::string_view why);
// 409 with one cause for each field that another manager owns.
absl::Status ApplyConflict(const std::vector<Cause>& causes);
absl::Status Forbidden(const api::KindInfo& info, absl::string_view name, absl::string_view why);
// 422 with the causes.
absl::Status Invalid(const api::KindInfo& info, absl::string_view name,
                     const std::vector<Cause>& causes);
absl::Status BadRequest(absl::string_view why);
absl::Status Unauthorized();
// The path names nothing.
absl::Status NoSuchPath();
absl::Status MethodNotAllowed(const api::KindInfo& info, absl::string_view verb);
absl::Status NotAcceptable(absl::string_view why);
absl::Status UnsupportedMediaType(absl::string_view type, absl::string_view accepted);
// 410: the version is compacted away.
absl::Status Expired(absl::string_view why);
absl::Status TooManyRequests(absl::string_view why);

// The metav1.Status that the client gets for an error; one without a payload becomes the nearest
// HTTP code.
Json StatusObject(const absl::Status& error);
int HttpCode(const absl::Status& error);

// "pools.ashlar.dev" or "pods".
std::string QualifiedResource(const api::KindInfo& info);

}  // namespace ashlar::standalone
