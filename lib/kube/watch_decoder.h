// DecodeWatchLine: one line of a watch's body. No state.
#pragma once

#include <optional>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "lib/kube/client.h"

namespace ashlar::kube {

// nullopt: the line is no event that can be used, which has been logged, and the watch goes on: one
// bad object must not hide the others. An error is the server's: OutOfRange for 410, others as
// api_error.h says.
absl::StatusOr<std::optional<WatchEvent>> DecodeWatchLine(absl::string_view line,
                                                          const KindInfo& kind);

}  // namespace ashlar::kube
