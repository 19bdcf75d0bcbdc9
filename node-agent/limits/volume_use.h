// VolumeUse: what is attached on this node, as those who act on volumes in use want it. A value.
#pragma once

#include <compare>
#include <map>
#include <string>
#include <vector>

#include "node-agent/limits/volume_attributes.h"

namespace ashlar::node_agent {

struct DeviceNumber {
  uint32_t major = 0, minor = 0;
  auto operator<=>(const DeviceNumber&) const = default;
  // From a dev_t.
  static DeviceNumber Of(uint64_t device);
};

struct VolumeUse {
  std::string id;
  // The block device that the pods' I/O on this volume, and no other, goes through. 0:0: there is
  // none.
  DeviceNumber device;
  std::string mount_point;           // of its filesystem; empty for a block volume
  bool returns_space = false;        // what is discarded is given back to the pool
  std::vector<std::string> targets;  // where pods see it
  // uids of the pods of targets that ResourceClaims have, by target.
  std::map<std::string, std::vector<std::string>> claim_pods;
  VolumeAttributes attributes;
  bool gpu_direct = false;  // somebody wants to know whether GPUDirect Storage works
};

}  // namespace ashlar::node_agent
