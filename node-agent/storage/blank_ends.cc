#include "node-agent/storage/blank_ends.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "lib/system/block_device.h"
#include "node-agent/storage/volume_facts.h"

namespace ashlar::node_agent {

std::string DataReason(const std::string& device) {
  const absl::StatusOr<int64_t> size = sys::BlockDeviceBytes(device);
  if (!size.ok()) return absl::StrCat("cannot be read: ", size.status().message());
  const int64_t end = std::min(kMiB, *size);
  for (const int64_t at : {int64_t{0}, *size - end}) {
    const absl::StatusOr<std::string> bytes = sys::ReadAt(device, at, static_cast<size_t>(end));
    if (!bytes.ok()) return absl::StrCat("cannot be read: ", bytes.status().message());
    if (bytes->find_first_not_of('\0') != std::string::npos) return "holds data of an unknown kind";
  }
  return "";
}

}  // namespace ashlar::node_agent
