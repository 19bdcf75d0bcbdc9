// GangSearch: how many members of each group which node gets, by branch and bound over an ordered
// list of nodes. The first answer is greedy in that order; it ends when nothing can be better, or
// when its steps are used up.
#pragma once

#include <utility>
#include <vector>

#include "controller/composer/gang.h"
#include "controller/composer/node_class.h"

namespace ashlar::composer {

struct GangCandidate {
  int node = 0;  // of the inventory
  int node_class = 0;
  int domain = -1;  // of the preferred label; candidates of one domain stand together
};

struct GangSearchRequest {
  std::vector<int> replicas;  // by group
  int may_leave_out = 0;      // members
  int steps = 20'000;
};

struct GangAnswer {
  bool found = false;
  bool proven = true;
  GangCost cost;
  std::vector<std::pair<int, GroupCounts>> nodes;  // of the inventory, and what each gets
};

// `classes` must have been made for the same groups.
GangAnswer SearchGang(NodeClasses& classes, const std::vector<GangCandidate>& candidates,
                      const GangSearchRequest& request);

}  // namespace ashlar::composer
