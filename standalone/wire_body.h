// Bodies in Kubernetes' binary form. No state.
#pragma once

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "lib/base/json.h"

namespace ashlar::standalone {

inline constexpr char kWireMediaType[] = "application/vnd.kubernetes.protobuf";

// The object as JSON. UnsupportedMediaType for a kind that is only taken as JSON; BadRequest if the
// bytes are not of this form.
absl::StatusOr<Json> DecodeWireBody(absl::string_view body);

}  // namespace ashlar::standalone
