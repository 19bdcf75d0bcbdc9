// What could be moved so that a Composition fits that does not: a plan for people, nothing is
// moved. Pure.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "ashlar/v1alpha1/composition.pb.h"
#include "controller/composer/member_request.h"
#include "controller/composition/device_stock.h"

namespace ashlar::controller {

// Something that has its place and that no pod uses.
struct Movable {
  std::string what;  // its kind and name
  std::string node;
  composer::MemberRequest request;  // what it needs elsewhere
  std::vector<v1alpha1::GPUPartitionAllocation> gpus;
  std::vector<int> gpu_requests;  // as gpus: of `request`
  struct Bytes {
    std::string pool;
    std::string drive;
    int64_t bytes = 0;
    int request = 0;  // of `request`
  };
  std::vector<Bytes> drives;
  bool stays_on_node = false;  // it may go to another drive of the node only
};

// `object` has passed CheckComposition and does not fit into the stock, its spec is with its class.
// What is not in the stock as it says it is does not move. Looks at the fewer sets of things that
// move the more nodes there are.
v1alpha1::CompositionMoves PlanMovesFor(const DeviceStock& stock,
                                        const v1alpha1::Composition& object,
                                        const std::vector<Movable>& movable);

}  // namespace ashlar::controller
