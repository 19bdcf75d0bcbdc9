// VolumeConfig: what a ResourceClaim or a DeviceClass says of the volumes that it gets from
// nvme.ashlar.dev, as opaque parameters of that driver:
//
//   apiVersion: ashlar.dev/v1alpha1
//   kind: VolumeConfig
//   mode: Filesystem     # or Block
//   fsType: ext4         # or xfs, btrfs; unset: what the pool makes
//   path: /scratch       # where containers see it; unset: /ashlar/REQUEST, a block device
//                        # /dev/ashlar/REQUEST
//   readOnly: false
//   limits:              # of each pod on the volume; unset: none
//     readIops: 5k
//     writeIops: 5k
//     readBytesPerSecond: 100Mi
//     writeBytesPerSecond: 100Mi
//
// Of a volume that is offered as it is, path and readOnly can be said.
//
// Pure.
#pragma once

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "ashlar/k8s/resource.pb.h"
#include "ashlar/v1alpha1/volume.pb.h"

namespace ashlar::controller {

struct VolumeConfig {
  std::string mode = "Filesystem";
  std::string fs_type;
  std::string path;  // never empty
  bool read_only = false;
  std::optional<v1alpha1::VolumeLimits> limits;
};

// InvalidArgument names the field, the value and what is accepted. Empty text: the defaults.
absl::StatusOr<VolumeConfig> ParseVolumeConfig(const std::string& text, const std::string& request);
// The same of a volume that is there; also InvalidArgument where it is said to be another.
absl::StatusOr<VolumeConfig> ParseExistingVolumeConfig(const std::string& text,
                                                       const std::string& request,
                                                       const v1alpha1::Volume& volume);

// What configures the request's devices of the driver: of several the last, as the claim's come
// after the class's. Empty: nothing does.
std::string ParametersFor(const k8s::DeviceAllocationResult& allocation, const std::string& driver,
                          const std::string& request);

}  // namespace ashlar::controller
