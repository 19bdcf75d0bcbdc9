// What a ResourceClaim that was given devices of ours needs, and what its status says of them.
// Pure.
//
//   allocated ──► Volumes are carved ──► the agent is told ──► ready: the pod is bound, and the
//       │                │                                     kubelet prepares
//       │                └─► cannot be carved: failed, the scheduler looks elsewhere
//       └─► its configuration is invalid: told in the status; ends with the scheduler's patience
//
// A Volume that is offered as it is (decision 0028) is not carved: what is looked at is whether the
// claim may have it. When it may not any more, the agent forgets what it was told, unless pods have
// the claim already.
//
// The claim bears nothing of ours. What is made for it bears its uid, and is taken back when there
// is no claim of that uid that has the device (decision 0021).
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "ashlar/agent/v1/node_agent.pb.h"
#include "ashlar/k8s/resource.pb.h"
#include "ashlar/v1alpha1/volume.pb.h"
#include "controller/near/pod_answer.h"

namespace ashlar::controller {

// Why a device is not ready.
enum class Trouble {
  kNone,
  kWaiting,  // comes by itself
  kFailed,   // another node or drive may do
  kInvalid,  // the claim asks for what cannot be
};

struct PlannedDevice {
  agent::v1::ClaimDevice told;  // to the agent
  bool wants_volume = false;
  // The claim must not have it, whatever the agent was told before.
  bool withdrawn = false;
  v1alpha1::Volume volume;  // of `wants_volume`: name, labels and spec
  Trouble trouble = Trouble::kNone;
  std::string reason;  // CamelCase
  std::string message;
};

struct ClaimPlan {
  std::string node;  // empty: the claim has no devices of ours
  std::vector<PlannedDevice> devices;
};

// Whether the driver is one of ours.
bool IsOurDriver(const std::string& driver);

// What is to be made. `inventory` is the last report of the node's agent, or nullptr; `volume`
// gives a Volume by its name, or nullptr; `offered` the one that is or was offered as that device
// of the node, or nullptr.
struct ClaimSources {
  std::function<const agent::v1::Inventory*(const std::string& node)> inventory;
  std::function<const v1alpha1::Volume*(const std::string& name)> volume;
  std::function<const v1alpha1::Volume*(const std::string& node, const std::string& device)>
      offered;
  FindSlice slice;
};
// Volumes are told of how near they are to the claim's GPUs, whoever's these are.
ClaimPlan PlanClaim(const k8s::ResourceClaim& claim, const ClaimSources& sources);

// Whether the Volume that exists is the one that is wanted.
bool IsTheSameVolume(const v1alpha1::Volume& wanted, const v1alpha1::Volume& exists);

// What the state of the Volume means for the device: sets its trouble.
void JudgeVolume(const v1alpha1::Volume* exists, PlannedDevice& device);

// The request that tells the agent.
agent::v1::EnsureClaimRequest TellRequest(const k8s::ResourceClaim& claim, const ClaimPlan& plan);

// Sets status.devices of our drivers; those of others stay. `now` is the time of conditions that
// turned.
void SetDeviceStatus(const ClaimPlan& plan, k8s::ResourceClaim& claim, absl::Time now);

}  // namespace ashlar::controller
