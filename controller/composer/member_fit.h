// Whether one member fits on one node, and with which devices.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "controller/composer/fit_search.h"

namespace ashlar::composer {

struct MemberFit {
  Grants grants;
  FitCost cost;
  std::vector<Level> reached;  // by constraint: the farthest two of its devices are apart
  bool proven = true;          // nothing that costs less exists
};

// The cheapest fit; nothing if there is none. A node with a problem takes nothing.
std::optional<MemberFit> FitMember(const NodeDevices& node, const std::vector<MigLayout>& layouts,
                                   const MemberRequest& member);

// The levels that the answer reaches for one member of the problem, by constraint.
std::vector<Level> LevelsOf(const FitProblem& problem, const FitAnswer& answer, int member);

}  // namespace ashlar::composer
