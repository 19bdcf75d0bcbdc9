#include "lib/api/conditions.h"

namespace ashlar::api {
namespace {

int IndexOf(const Conditions& conditions, absl::string_view type) {
  for (int i = 0; i < conditions.size(); ++i) {
    if (conditions[i].type() == type) return i;
  }
  return -1;
}

}  // namespace

const k8s::Condition* FindCondition(const Conditions& conditions, absl::string_view type) {
  const int index = IndexOf(conditions, type);
  return index < 0 ? nullptr : &conditions[index];
}

bool IsConditionTrue(const Conditions& conditions, absl::string_view type) {
  const k8s::Condition* condition = FindCondition(conditions, type);
  return condition != nullptr && condition->status() == kTrue;
}

bool SetCondition(Conditions& conditions, const ConditionState& state, absl::Time now) {
  const int index = IndexOf(conditions, state.type);
  k8s::Condition& condition = index < 0 ? *conditions.Add() : conditions[index];
  const bool moved = condition.status() != state.status;
  const bool changed = moved || condition.reason() != state.reason ||
                       condition.message() != state.message ||
                       condition.observed_generation() != state.observed_generation;
  condition.set_type(std::string(state.type));
  condition.set_status(std::string(state.status));
  condition.set_reason(std::string(state.reason));
  condition.set_message(std::string(state.message));
  condition.set_observed_generation(state.observed_generation);
  if (moved) {
    condition.mutable_last_transition_time()->set_seconds(absl::ToUnixSeconds(now));
    condition.mutable_last_transition_time()->set_nanos(0);
  }
  return changed;
}

bool RemoveCondition(Conditions& conditions, absl::string_view type) {
  const int index = IndexOf(conditions, type);
  if (index >= 0) conditions.DeleteSubrange(index, 1);
  return index >= 0;
}

}  // namespace ashlar::api
