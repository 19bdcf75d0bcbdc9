// Times as Kubernetes writes them: RFC 3339 (metav1.Time, metav1.MicroTime). Thread-safe.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace ashlar::api {

// InvalidArgument unless `text` is a date and a time with seconds, an optional fraction and a zone.
absl::StatusOr<absl::Time> ParseRfc3339(absl::string_view text);

// In UTC: 2006-01-02T15:04:05Z, with a fraction of a second only if there is one.
std::string FormatRfc3339(absl::Time time);
// In UTC with exactly six digits of a fraction, as metav1.MicroTime (Lease, Event) wants.
std::string FormatRfc3339Micro(absl::Time time);

}  // namespace ashlar::api
