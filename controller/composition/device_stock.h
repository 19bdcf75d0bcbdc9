// DeviceStock: the GPUs and drives that Compositions can have, as placement sees them, out of what
// agents report and what is promised. Pure.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "ashlar/agent/v1/node_agent.pb.h"
#include "ashlar/v1alpha1/topology.pb.h"
#include "controller/composer/node_devices.h"
#include "controller/gpu_partition/gpu_stock.h"

namespace ashlar::controller {

struct ComposableNode {
  GpuNodeFacts facts;
  std::map<std::string, std::string> labels;
};

// Bytes that are somebody's, whether the node's report shows them or not.
struct PromisedBytes {
  std::string volume;  // name; what the report says that it has counts there
  std::string node;
  std::string pool;
  std::string drive;  // empty: only the agent knows
  int64_t bytes = 0;
};

struct DriveName {
  std::string pool;
  std::string drive;  // as in Volume.spec.drive; empty: it cannot be named
};

struct DeviceStock {
  composer::Inventory inventory;
  // As those of the inventory's nodes.
  std::vector<std::vector<DriveName>> drives;
  std::vector<std::vector<v1alpha1::Nic>> nics;
};

// A pool whose drives can be named is as many drives, any other pool is one; the only kind of a
// drive is its pool's name. Bytes of which only the agent knows the drive count against each that
// they may lie on. NICs are shared: who has chosen one takes nothing of it. What the claims of the
// uids `own_claims` have is free.
DeviceStock StockOf(const std::vector<ComposableNode>& nodes,
                    const std::vector<v1alpha1::GPUPartitionAllocation>& parts,
                    const std::vector<PromisedBytes>& bytes,
                    const std::set<std::string>& own_claims = {});

}  // namespace ashlar::controller
