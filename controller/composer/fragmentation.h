// What of a node is free and yet of no use: slices and bytes that no member of the given shapes
// could get, because they are too few where they are or their partner is missing.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "controller/composer/member_request.h"

namespace ashlar::composer {

struct Fragments {
  // Memory slices. A GPU that cannot be divided, or is not, counts as one slice or as all of its
  // layout's.
  int free_slices = 0;
  int stranded_slices = 0;
  int64_t free_bytes = 0;
  int64_t stranded_bytes = 0;
  friend bool operator==(const Fragments&, const Fragments&) = default;
};

struct NodeFragments {
  Fragments node;
  std::vector<Fragments> switches;      // by number
  std::vector<Fragments> roots;         // by number
  std::map<int, Fragments> numa_nodes;  // by number; devices that are in none are not in it
};

// A slice is stranded if no fit of any shape uses it, a drive's bytes if no fit of any shape uses
// the drive. Each shape is looked at alone: what several could use counts as useful once, so the
// figures are never too high. Devices with a problem are not free. Nothing is free on a node with
// a problem.
NodeFragments FragmentsOf(const NodeDevices& node, const std::vector<MigLayout>& layouts,
                          const std::vector<MemberRequest>& shapes);

}  // namespace ashlar::composer
