// What the kubelet gave to the containers of a pod, and which GPUs that is. Pure but for the
// interface.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "ashlar/v1alpha1/gpu.pb.h"
#include "lib/base/call_context.h"

namespace ashlar::node_agent {

struct PodId {
  std::string name_space, name;
  std::string uid;  // may be empty: not known
};

// One device of a device plugin or of a driver for dynamic resource allocation (DRA).
struct PodDevice {
  std::string owner;  // the resource, nvidia.com/gpu; or the driver, gpu.nvidia.com
  std::string name;   // as its owner calls it: GPU-..., MIG-..., gpu-0
  // What its driver publishes of it; empty: nothing, or it is not known.
  std::string uuid;         // of the GPU or of a part of one
  std::string parent_uuid;  // of a part: the GPU's
  std::string pci_address;  // of the GPU
  bool operator==(const PodDevice&) const = default;
};

// Who knows that. Thread-safe.
class PodDevices {
 public:
  virtual ~PodDevices() = default;
  // Of all containers of the pod. Unavailable: it cannot be found out now, and why.
  virtual absl::StatusOr<std::vector<PodDevice>> Find(const CallContext& context,
                                                      const PodId& pod) = 0;
};

// GPUs of this node among devices, by what they are or are parts of.
struct PodGpus {
  std::vector<std::string> uuids;  // each once
  // Devices that are GPUs by their owner, and none of this node's.
  std::vector<std::string> unknown;
};
// A device is known by what its driver publishes of it. Else one of a plugin is known by the UUID
// of a GPU or of a part of one (MIG), one that several pods share by that and a number
// (GPU-...::3); a device of gpu.nvidia.com by the GPU's minor number and what part of it is meant
// (gpu-0, gpu-0-mig-...), of gpu.ashlar.dev by the beginning of its UUID (gpu-7a1f03bc-91d2,
// mig-7a1f03bc-91d2-...).
PodGpus FindGpus(const std::vector<PodDevice>& devices, const std::vector<v1alpha1::Gpu>& gpus);

}  // namespace ashlar::node_agent
