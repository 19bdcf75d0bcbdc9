// FragmentFigures: what of the GPUs and drives that Compositions can have is free and of no use, in
// few numbers. Pure, but for the memory of FragmentCounter. Not thread-safe.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "controller/composer/fragmentation.h"

namespace ashlar::controller {

// The devices of a node at one root complex; those of which it is not known are at the root "".
struct StrandedAt {
  std::string node;
  std::string root;
  composer::Fragments fragments;
};

struct FragmentFigures {
  composer::Fragments all;
  // Of the nodes where most is stranded, the worst first; only places where something is.
  std::vector<StrandedAt> worst;
};

// Shapes of members that do for nodes while nobody asks for others: a GPU, or a part of each
// profile, and a volume at the same root complex.
std::vector<composer::MemberRequest> UsualShapes(const std::vector<composer::MigLayout>& layouts);

// Counts nodes that have usable GPUs: elsewhere bytes wait for none.
class FragmentCounter {
 public:
  // `most_nodes` are told of one by one.
  FragmentFigures Count(const composer::Inventory& inventory,
                        const std::vector<composer::MemberRequest>& shapes, size_t most_nodes);
  // How many nodes were looked at in the last count: alike ones, and those that are as they were,
  // are not.
  size_t looked_at() const { return looked_at_; }

 private:
  std::map<std::string, composer::NodeFragments> known_;  // by all that matters of a node
  std::string shapes_;                                    // that they were made for
  size_t looked_at_ = 0;
};

}  // namespace ashlar::controller
