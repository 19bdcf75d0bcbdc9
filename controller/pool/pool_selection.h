// Which nodes a Pool lies on. A value.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "ashlar/v1alpha1/pool.pb.h"
#include "lib/api/selectors.h"
#include "lib/base/json.h"

namespace ashlar::controller {

class PoolSelection {
 public:
  // InvalidArgument: the node selector.
  static absl::StatusOr<PoolSelection> Make(const v1alpha1::Pool& pool);

  // `node` is the Node object, or nullptr if there is none (a machine outside a cluster). A
  // selector that is empty selects every node that runs an agent.
  bool Selects(const Json* node, bool runs_agent) const;

 private:
  api::LabelSelector selector_;
};

// spec.unschedulable; false without a Node object.
bool IsCordoned(const Json* node);

}  // namespace ashlar::controller
