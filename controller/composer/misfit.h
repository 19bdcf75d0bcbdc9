// Why a member does not fit on a node, in words, and what would fit there.
#pragma once

#include <string>
#include <vector>

#include "controller/composer/member_request.h"

namespace ashlar::composer {

struct Misfit {
  std::string constraint;  // what is not met: "gpu and scratch within Switch"
  std::string reason;      // "best level there is: Numa"
  std::string nearest;     // "largest scratch that fits: 310Gi"; empty: nothing near it fits
  friend bool operator==(const Misfit&, const Misfit&) = default;

  // "CONSTRAINT: REASON; NEAREST".
  std::string Sentence() const;
};

// What is in the way of the member, at least one entry. The first of these that says something:
//   the node takes nothing; requests that do not fit even by themselves; all requests together,
//   without their constraints; required constraints, each that alone is in the way, or else those
//   that the best choice of devices misses.
// The member must not fit there.
std::vector<Misfit> ExplainMisfit(const NodeDevices& node, const std::vector<MigLayout>& layouts,
                                  const MemberRequest& member);

}  // namespace ashlar::composer
