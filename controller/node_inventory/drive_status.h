// A drive in the words of an agent and in those of NodeInventory.status. Pure.
#pragma once

#include "ashlar/agent/v1/node_agent.pb.h"
#include "lib/api/kinds.h"

namespace ashlar::controller {

// What the agent does not know is left out.
v1alpha1::Drive DriveOf(const agent::v1::Drive& from);

}  // namespace ashlar::controller
