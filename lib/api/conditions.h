// The conditions of a status (metav1.Condition). Thread-safe, no state.
#pragma once

#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "ashlar/k8s/meta.pb.h"

namespace ashlar::api {

using Conditions = google::protobuf::RepeatedPtrField<k8s::Condition>;

inline constexpr absl::string_view kTrue = "True";
inline constexpr absl::string_view kFalse = "False";
inline constexpr absl::string_view kUnknown = "Unknown";

struct ConditionState {
  absl::string_view type;    // CamelCase
  absl::string_view status;  // kTrue, kFalse or kUnknown
  absl::string_view reason;  // CamelCase, not empty
  absl::string_view message;
  int64_t observed_generation = 0;
};

// nullptr if there is none of the type.
const k8s::Condition* FindCondition(const Conditions& conditions, absl::string_view type);

// False if the condition is absent, too.
bool IsConditionTrue(const Conditions& conditions, absl::string_view type);

// Sets the condition of `state.type`, adding it if it is absent. lastTransitionTime becomes `now`,
// in whole seconds as metav1.Time has them, only if the status is another than before. True if
// anything has changed.
bool SetCondition(Conditions& conditions, const ConditionState& state, absl::Time now);

// True if there was one.
bool RemoveCondition(Conditions& conditions, absl::string_view type);

}  // namespace ashlar::api
