// The health of volumes and of a node's pools as the health calls of CSI v1.13 tell it. Pure.
#pragma once

#include <string>

#include "ashlar/agent/v1/node_mount.pb.h"
#include "ashlar/v1alpha1/volume.pb.h"
#include "csi.pb.h"
#include "csi/volume_condition.h"

namespace ashlar::csi_driver {

// What the condition Healthy of a Volume says, in the words of v1.12: abnormal with the reason and
// message, or not. While nobody knows (the node's agent is silent) it is not called abnormal, but
// the message says so.
VolumeCondition ConditionOf(const v1alpha1::Volume& volume);

// The same in the words of v1.13: an entry if Healthy is False, DATA_LOSS for a volume whose bytes
// are gone or damaged, INACCESSIBLE for one that nobody reaches, as its drive or pool is not there
// or it hangs on a drive that went, DEGRADED otherwise.
csi::v1::VolumeHealth HealthOf(const v1alpha1::Volume& volume);

// What the agent says of one volume of its node.
csi::v1::VolumeHealth HealthOf(const agent::v1::VolumeState& state);

// An entry for each pool of the node that is not ready, STORAGE_UNREACHABLE, or not as it should
// be, STORAGE_DEGRADED: it is full, or a drive of it is missing.
csi::v1::NodeGetStorageHealthResponse StorageHealthOf(const agent::v1::GetHealthResponse& health);

}  // namespace ashlar::csi_driver
