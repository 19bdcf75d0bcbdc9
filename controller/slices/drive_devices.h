// The devices of nvme.ashlar.dev on one node: the drives of its pools on which a volume can be
// carved by name. Pure.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "ashlar/agent/v1/node_agent.pb.h"
#include "ashlar/k8s/resource.pb.h"

namespace ashlar::controller {

// Conditions of a claim's device for which the scheduler waits before it binds the pod.
inline constexpr char kVolumeReady[] = "VolumeReady";
inline constexpr char kVolumeFailed[] = "VolumeFailed";

// Keys of taints.
inline constexpr char kAgentSilentTaint[] = "ashlar.dev/agent-silent";     // NoSchedule
inline constexpr char kPoolNotReadyTaint[] = "ashlar.dev/pool-not-ready";  // NoSchedule
inline constexpr char kDriveFailingTaint[] = "ashlar.dev/drive-failing";   // NoSchedule
inline constexpr char kDriveMissingTaint[] = "ashlar.dev/drive-missing";   // NoExecute

struct DriveDevicesFacts {
  const agent::v1::Inventory& inventory;
  bool agent_silent = false;
  // The drives as they are published now.
  std::vector<k8s::Device> published;
  // Whether the volume was carved for a ResourceClaim.
  absl::FunctionRef<bool(const std::string& volume)> of_claim;
  // Whether a claim holds the device.
  absl::FunctionRef<bool(const std::string& device)> in_use;
};

// By name. Capacity is what claims could get on the drive if none had any: bytes of CSI volumes,
// snapshots and inline volumes are not in it. A drive that is not there any more, or whose pool is
// not ready, stays as it was published, with a taint that says so, as long as its pool misses it or
// a claim holds it.
std::vector<k8s::Device> DriveDevices(const DriveDevicesFacts& facts);

// Address of the upstream port of the switch nearest to the last function of `pci`, which is a
// drive's; empty: there is none.
std::string NearestSwitch(const agent::v1::Inventory& inventory,
                          const google::protobuf::RepeatedPtrField<std::string>& pci);

// Sets the attributes that say where the drive is in the machine, as far as that is known.
void DescribePlace(const agent::v1::Inventory& inventory, const std::string& drive,
                   k8s::Device& device);

// Sets the attribute unless the text is empty or longer than the API allows.
void SetText(k8s::Device& device, const char* name, const std::string& text);
void AddTaint(k8s::Device& device, const char* key, const std::string& value, const char* effect);

}  // namespace ashlar::controller
