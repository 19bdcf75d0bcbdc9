#include "controller/objects/transitions.h"

namespace ashlar::controller {

std::vector<k8s::Condition> TurnedConditions(const api::Conditions& before,
                                             const api::Conditions& after) {
  std::vector<k8s::Condition> turned;
  for (const k8s::Condition& condition : after) {
    const k8s::Condition* old = api::FindCondition(before, condition.type());
    if (old == nullptr || old->status() != condition.status() ||
        old->reason() != condition.reason()) {
      turned.push_back(condition);
    }
  }
  return turned;
}

}  // namespace ashlar::controller
