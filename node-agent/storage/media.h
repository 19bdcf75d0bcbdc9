// The media of all backends: the one place that knows every kind of pool.
#pragma once

#include "node-agent/storage/pool_medium.h"

namespace ashlar::node_agent {

// `env` outlives the function and what it makes.
MakePoolMedium PoolMedia(const PoolEnvironment& env);

}  // namespace ashlar::node_agent
