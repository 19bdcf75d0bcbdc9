// PlanMoves: which movable members to move, and where to, so that a gang fits that does not fit
// now. Pure, deterministic.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "controller/composer/gang.h"

namespace ashlar::composer {

// A member that has its place, and may be made anew elsewhere.
struct MovableMember {
  std::string name;
  MemberRequest request;
  int node = 0;   // of the inventory
  Grants grants;  // in use there
};

struct Move {
  std::string name;
  int from = 0;  // nodes of the inventory
  int to = 0;
  Grants old_grants;
  Grants new_grants;
};

struct MovePlan {
  std::vector<Move> moves;  // in their order: each finds its new place free
  GangPlan gang;            // fits when all moves are done
};

struct MoveOptions {
  int max_moves = 3;
  int max_attempts = 2'000;  // sets of members that are tried
};

// A plan with the fewest moves of those that are found, none if the gang fits as it is. Nothing if
// there is none within the options. A move never uses what an earlier move left: it may be done,
// and fail, without anybody being in between two places. Members all of whose requests fit together
// move together: a slice never leaves its volume.
std::optional<MovePlan> PlanMoves(const Inventory& inventory, const GangRequest& gang,
                                  const std::vector<MovableMember>& movable,
                                  const MoveOptions& options = {});

}  // namespace ashlar::composer
