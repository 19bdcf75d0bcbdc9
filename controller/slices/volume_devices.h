// Volumes that are offered to ResourceClaims as they are (Volume.spec.offer), and what they are as
// devices of nvme.ashlar.dev. Only those are published: slices have room for few of the volumes of
// a node (decision 0028). Pure.
#pragma once

#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "ashlar/agent/v1/node_agent.pb.h"
#include "ashlar/k8s/resource.pb.h"
#include "ashlar/v1alpha1/volume.pb.h"

namespace ashlar::controller {

// Keys of taints, all NoSchedule.
inline constexpr char kVolumeInUseTaint[] = "ashlar.dev/volume-in-use";
inline constexpr char kVolumeUnhealthyTaint[] = "ashlar.dev/volume-unhealthy";  // the reason
inline constexpr char kVolumeWithdrawnTaint[] = "ashlar.dev/volume-withdrawn";

// Whether claims may be given the volume now: it is whole, on a node, stays, and is nobody's own.
bool IsOffered(const v1alpha1::Volume& volume);
// Whether those of the namespace may.
bool IsOfferedTo(const v1alpha1::Volume& volume, const std::string& space);

struct VolumeDevicesFacts {
  const agent::v1::Inventory& inventory;
  bool agent_silent = false;
  // Volumes of the node; those that are not offered are left out.
  const std::vector<v1alpha1::Volume>& volumes;
  // The volumes as they are published now.
  const std::vector<k8s::Device>& published;
  // Whether a claim holds the device.
  absl::FunctionRef<bool(const std::string& device)> in_use;
};

// By name. What a claim holds stays published when it is offered no more, with a taint.
std::vector<k8s::Device> VolumeDevices(const VolumeDevicesFacts& facts);

}  // namespace ashlar::controller
