// What has its place and could have another one, because no pod uses it: GPUPartitions whose claim
// nobody has, members of Compositions that are reserved, volumes that are not staged. What is bound
// to certain nodes is left out, and so is what is of a gang that must share a label.
#pragma once

#include <vector>

#include "controller/composition/composition_gatherer.h"
#include "controller/composition/move_plan.h"

namespace ashlar::controller {

// By kind and name. `nodes` are those of the stock; nothing of the Composition `own`.
std::vector<Movable> MovablesOf(const CompositionSources& parts,
                                const std::vector<ComposableNode>& nodes,
                                const api::ObjectKey& own);

}  // namespace ashlar::controller
