// NearDrives: which drives of a pool an inline volume may be carved on, so that it lies near the
// GPUs of its pod. Keeps nothing; thread-safe.
//
// A pod's GPUs are known to the kubelet once it has admitted the pod, if a device plugin hands them
// out. What a ResourceClaim gave it the kubelet tells only once the claim is prepared, which is
// after the pod's volumes are mounted: then the controller is asked
// (docs/decisions/0024-gpus-of-claims-are-asked-for.md).
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/base/call_context.h"
#include "node-agent/near/drive_choice.h"
#include "node-agent/near/pod_devices.h"

namespace ashlar::node_agent {

struct NearArgs {
  PodId pod;
  std::string level;      // the farthest that is near enough; of NearLevel's names
  bool required = false;  // farther drives are refused
};

// What is known of the node.
struct NearFacts {
  std::vector<v1alpha1::Gpu> gpus;
  std::vector<Drive> drives;
  std::vector<v1alpha1::GpuDrivePath> paths;
};

struct NearPlan {
  std::vector<std::string> gpus;  // of the pod; empty: none is known
  std::vector<NearDrive> drives;  // with room, in the order in which they are to be tried
  // Nothing of it was required: where no drive of these takes the volume any other one may.
  bool anywhere = false;
  std::string why;  // no drive is named although one was wished for
};

class NearDrives {
 public:
  using Facts = std::function<NearFacts()>;
  // What a pod has is asked of `kubelet` first, and of `claims` where that shows no GPU. What is
  // borrowed must outlive it.
  NearDrives(PodDevices& kubelet, PodDevices& claims, Facts facts)
      : kubelet_(kubelet), claims_(claims), facts_(std::move(facts)) {}

  // `usage` is of the pool. FailedPrecondition: what is required cannot be had, with the level that
  // can, and why nearer ones cannot. Unavailable: it is required and nobody tells of a GPU, though
  // somebody could not be asked.
  absl::StatusOr<NearPlan> Plan(const CallContext& context, const PoolUsage& usage,
                                int64_t size_bytes, const NearArgs& args);

 private:
  // The pod's GPUs. FailedPrecondition: it has none that is known. Unavailable: perhaps it has.
  absl::StatusOr<std::vector<std::string>> GpusOf(const CallContext& context,
                                                  const NearFacts& facts, const NearArgs& args);

  PodDevices& kubelet_;
  PodDevices& claims_;
  const Facts facts_;
};

}  // namespace ashlar::node_agent
