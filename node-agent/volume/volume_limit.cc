#include "node-agent/volume/volume_limit.h"

#include <algorithm>

namespace ashlar::node_agent {
namespace {

constexpr int64_t kLoopDevices = (int64_t{1} << 20) - 4096;

}  // namespace

int64_t VolumeLimit(int64_t wanted, int64_t mount_max) {
  int64_t limit = kLoopDevices;
  if (mount_max > 0) limit = std::min(limit, mount_max / 4);
  if (wanted > 0) limit = std::min(limit, wanted);
  return std::max<int64_t>(limit, 1);
}

}  // namespace ashlar::node_agent
