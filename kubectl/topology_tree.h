// How the GPUs and drives of a node lie to one another, drawn for people. Pure.
#pragma once

#include <string>

#include "ashlar/v1alpha1/node_inventory.pb.h"

namespace ashlar::kubectl {

// The node's domains as a tree, with what hangs on each; what has no place in it, below
// "elsewhere"; NVLink cliques; and for each GPU how near each NVMe drive is. UTF-8, lines end with
// a newline. Whatever the inventory holds, each GPU and drive is shown once for each of its places.
std::string DrawTopology(const v1alpha1::NodeInventory& inventory);

}  // namespace ashlar::kubectl
