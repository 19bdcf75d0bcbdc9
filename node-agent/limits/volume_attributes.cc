#include "node-agent/limits/volume_attributes.h"

#include <sys/sysmacros.h>

#include <array>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "lib/base/status_macros.h"
#include "node-agent/limits/volume_use.h"

namespace ashlar::node_agent {
namespace {

constexpr std::array<absl::string_view, 3> kScheduleNames = {"Weekly", "Daily", "Never"};

}  // namespace

DeviceNumber DeviceNumber::Of(uint64_t device) {
  return {gnu_dev_major(device), gnu_dev_minor(device)};
}

absl::string_view ScheduleName(TrimSchedule schedule) {
  return kScheduleNames[static_cast<size_t>(schedule)];
}

Json AttributesToJson(const VolumeAttributes& attributes) {
  return Json{{"readIops", attributes.limits.read_iops},
              {"writeIops", attributes.limits.write_iops},
              {"readBytesPerSecond", attributes.limits.read_bytes_per_second},
              {"writeBytesPerSecond", attributes.limits.write_bytes_per_second},
              {"trim", std::string(ScheduleName(attributes.trim))}};
}

absl::StatusOr<VolumeAttributes> AttributesFromJson(const Json& json) {
  VolumeAttributes attributes;
  attributes.limits = {JsonInt(json, {"readIops"}), JsonInt(json, {"writeIops"}),
                       JsonInt(json, {"readBytesPerSecond"}),
                       JsonInt(json, {"writeBytesPerSecond"})};
  const std::string trim = JsonString(json, {"trim"});
  size_t index = 0;
  while (index < kScheduleNames.size() && kScheduleNames[index] != trim) ++index;
  if (index == kScheduleNames.size())
    return absl::InvalidArgumentError(absl::StrCat("trim \"", trim, "\" is unknown"));
  attributes.trim = static_cast<TrimSchedule>(index);
  ASHLAR_RETURN_IF_ERROR(CheckAttributes(attributes));
  return attributes;
}

absl::Status CheckAttributes(const VolumeAttributes& attributes) {
  const IoLimits& limits = attributes.limits;
  const std::array<std::pair<absl::string_view, int64_t>, 4> all = {
      {{"read_iops", limits.read_iops},
       {"write_iops", limits.write_iops},
       {"read_bytes_per_second", limits.read_bytes_per_second},
       {"write_bytes_per_second", limits.write_bytes_per_second}}};
  for (const auto& [field, value] : all)
    if (value < 0)
      return absl::InvalidArgumentError(
          absl::StrCat("attributes.", field, " is ", value, ": must not be negative"));
  return absl::OkStatus();
}

}  // namespace ashlar::node_agent
