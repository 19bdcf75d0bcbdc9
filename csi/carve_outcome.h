// What a Volume object says of its volume, decided without looking at anything else. Pure.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "ashlar/v1alpha1/volume.pb.h"

namespace ashlar::csi_driver {

struct CarveOutcome {
  enum class Kind {
    kPending,  // goes on; `why` says what is missing, for the caller whose time ends
    kCarved,   // exists, with at least the size that is asked for
    kRefused,  // will not come about as it is asked for; `why` has the code for the caller
  };
  Kind kind = Kind::kPending;
  absl::Status why;
};

// Of conditions that were set for an older generation only Carved=True counts, and only for a
// volume whose status shows the size asked for.
CarveOutcome DecideCarve(const v1alpha1::Volume& volume);

// Bytes that exist, or 0.
int64_t CarvedBytes(const v1alpha1::Volume& volume);

// The condition of this type, or nullptr.
const k8s::Condition* FindCondition(const v1alpha1::Volume& volume, absl::string_view type);

// The conditions as one line for people: Carved=False (NoCapacity: ...), Published=True (...).
std::string DescribeConditions(const v1alpha1::Volume& volume);

}  // namespace ashlar::csi_driver
