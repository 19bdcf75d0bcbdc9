// VolumeAttributes: what may change of a volume while it is in use. Values.
#pragma once

#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "lib/base/json.h"

namespace ashlar::node_agent {

// Of one pod on one volume; 0: no limit.
struct IoLimits {
  int64_t read_iops = 0, write_iops = 0;
  int64_t read_bytes_per_second = 0, write_bytes_per_second = 0;

  bool any() const { return *this != IoLimits{}; }
  bool operator==(const IoLimits&) const = default;
};

// How often the free space of a mounted filesystem is given back.
enum class TrimSchedule { kWeekly, kDaily, kNever };
absl::string_view ScheduleName(TrimSchedule schedule);  // Weekly, Daily, Never

struct VolumeAttributes {
  IoLimits limits;
  TrimSchedule trim = TrimSchedule::kWeekly;

  bool operator==(const VolumeAttributes&) const = default;
};

Json AttributesToJson(const VolumeAttributes& attributes);
// InvalidArgument names what is wrong.
absl::StatusOr<VolumeAttributes> AttributesFromJson(const Json& json);
// InvalidArgument: a limit is negative.
absl::Status CheckAttributes(const VolumeAttributes& attributes);

}  // namespace ashlar::node_agent
