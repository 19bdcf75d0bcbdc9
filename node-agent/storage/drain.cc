#include "node-agent/storage/drain.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace ashlar::node_agent {

bool IsDrained(const PoolSpec& spec, const Drive& drive) {
  return std::any_of(spec.drain.begin(), spec.drain.end(), [&](const std::string& name) {
    return !name.empty() && (name == drive.serial || name == drive.wwid || name == drive.id);
  });
}

bool TakesVolumes(const PoolSpec& spec, const Drive& drive) {
  return spec.devices.has_value() && Matches(*spec.devices, drive) && !IsDrained(spec, drive);
}

std::string DrainRefusal(const Drive& drive) {
  return absl::StrCat(drive.id, " is named in spec.drain");
}

void TellWaiting(const std::vector<std::string>& drive_ids, OpenedPool& opened) {
  if (drive_ids.empty()) return;
  opened.restless = true;
  opened.reason = kDraining;
  opened.message = absl::StrCat(absl::StrJoin(drive_ids, ", "),
                                " takes no new volumes and leaves when its volumes are deleted");
}

}  // namespace ashlar::node_agent
