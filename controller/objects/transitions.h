// Which conditions turned: what reconcilers make events of. Pure.
#pragma once

#include <vector>

#include "lib/api/conditions.h"

namespace ashlar::controller {

// The conditions of `after` whose status or reason differs from `before`. A changed message alone
// is no news.
std::vector<k8s::Condition> TurnedConditions(const api::Conditions& before,
                                             const api::Conditions& after);

}  // namespace ashlar::controller
