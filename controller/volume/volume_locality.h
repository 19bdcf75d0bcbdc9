// How near a volume lies to the GPUs of spec.near, for its status. Pure.
#pragma once

#include "absl/time/time.h"
#include "ashlar/agent/v1/node_agent.pb.h"
#include "ashlar/v1alpha1/volume.pb.h"

namespace ashlar::controller {

// Sets status.locality: by status.device.drive and the node's inventory. It goes where there are no
// GPUs or no one drive; where the inventory knows no way between them (a GPU that is gone) it stays
// as it is. A level, drive or GPUs that did not change keep `since`.
void ObserveLocality(const agent::v1::Inventory& inventory, absl::Time now,
                     v1alpha1::Volume& volume);

}  // namespace ashlar::controller
