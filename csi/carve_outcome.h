// What a Volume object says of its volume, decided without looking at anything else. Pure.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "ashlar/v1alpha1/volume.pb.h"
#include "csi.pb.h"

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

// What the condition Healthy says, in CSI's words: abnormal with the reason and message, or not.
// While nobody knows (the node's agent is silent) it is not called abnormal, but the message says
// so.
csi::v1::VolumeCondition ConditionOf(const v1alpha1::Volume& volume);

// The conditions as one line for people: Carved=False (NoCapacity: ...), Published=True (...).
std::string DescribeConditions(const v1alpha1::Volume& volume);

}  // namespace ashlar::csi_driver
