#include "controller/volume/volume_attributes.h"

#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "lib/api/conditions.h"
#include "lib/api/quantity.h"

namespace ashlar::controller {
namespace {

using agent::v1::VolumeAttributes;

agent::v1::TrimSchedule TrimOf(const std::string& name) {
  if (name == "Never") return agent::v1::TRIM_SCHEDULE_NEVER;
  if (name == "Daily") return agent::v1::TRIM_SCHEDULE_DAILY;
  return agent::v1::TRIM_SCHEDULE_WEEKLY;
}

std::string NameOf(agent::v1::TrimSchedule trim) {
  if (trim == agent::v1::TRIM_SCHEDULE_NEVER) return "Never";
  if (trim == agent::v1::TRIM_SCHEDULE_DAILY) return "Daily";
  return "";  // the default
}

VolumeAttributes WantedAttributes(const v1alpha1::VolumeSpec& spec) {
  VolumeAttributes attributes;
  attributes.set_read_iops(spec.limits().read_iops());
  attributes.set_write_iops(spec.limits().write_iops());
  attributes.set_read_bytes_per_second(spec.limits().read_bytes_per_second());
  attributes.set_write_bytes_per_second(spec.limits().write_bytes_per_second());
  attributes.set_trim(TrimOf(spec.trim()));
  return attributes;
}

bool HasLimits(const VolumeAttributes& attributes) {
  return attributes.read_iops() > 0 || attributes.write_iops() > 0 ||
         attributes.read_bytes_per_second() > 0 || attributes.write_bytes_per_second() > 0;
}

// An agent that was never told anything, or knows of none of this, has the defaults.
bool Same(const VolumeAttributes& a, const VolumeAttributes& b) {
  return a.read_iops() == b.read_iops() && a.write_iops() == b.write_iops() &&
         a.read_bytes_per_second() == b.read_bytes_per_second() &&
         a.write_bytes_per_second() == b.write_bytes_per_second() &&
         NameOf(a.trim()) == NameOf(b.trim());
}

void Set(v1alpha1::Volume& volume, absl::string_view status, absl::string_view reason,
         absl::string_view message, absl::Time now) {
  const int64_t generation = volume.metadata().generation();
  api::SetCondition(*volume.mutable_status()->mutable_conditions(),
                    {kApplied, status, reason, message, generation}, now);
  volume.mutable_status()->set_observed_generation(generation);
}

void ShowLimits(const VolumeAttributes& held, v1alpha1::VolumeStatus& status) {
  status.clear_limits();
  if (!HasLimits(held)) return;
  v1alpha1::VolumeLimits& limits = *status.mutable_limits();
  if (held.read_iops() > 0) limits.set_read_iops(held.read_iops());
  if (held.write_iops() > 0) limits.set_write_iops(held.write_iops());
  if (held.read_bytes_per_second() > 0)
    limits.set_read_bytes_per_second(held.read_bytes_per_second());
  if (held.write_bytes_per_second() > 0)
    limits.set_write_bytes_per_second(held.write_bytes_per_second());
}

}  // namespace

agent::v1::ModifyVolumeRequest ModifyRequest(const v1alpha1::Volume& volume) {
  agent::v1::ModifyVolumeRequest request;
  request.set_volume_id(volume.metadata().name());
  *request.mutable_attributes() = WantedAttributes(volume.spec());
  return request;
}

bool WantsModification(const v1alpha1::Volume& volume, const agent::v1::VolumeState& reported) {
  return !Same(WantedAttributes(volume.spec()), reported.attributes());
}

void ObserveAttributes(v1alpha1::Volume& volume, const agent::v1::VolumeState& state,
                       absl::Time now) {
  const VolumeAttributes& held = state.attributes();
  ShowLimits(held, *volume.mutable_status());
  volume.mutable_status()->set_trim(NameOf(held.trim()));
  if (WantsModification(volume, state)) return;
  if (Same(held, VolumeAttributes())) {
    api::RemoveCondition(*volume.mutable_status()->mutable_conditions(), kApplied);
  } else if (state.attributes_message().empty()) {
    Set(volume, api::kTrue, kApplied, DescribeAttributes(volume.spec()), now);
  } else {
    Set(volume, api::kFalse, kNotInForce, state.attributes_message(), now);
  }
}

void SetNotApplied(v1alpha1::Volume& volume, const std::string& reason, const std::string& message,
                   absl::Time now) {
  Set(volume, api::kFalse, reason, message, now);
}

std::string DescribeAttributes(const v1alpha1::VolumeSpec& spec) {
  const v1alpha1::VolumeLimits& limits = spec.limits();
  std::vector<std::string> parts;
  if (limits.read_iops() > 0) parts.push_back(absl::StrCat(limits.read_iops(), " reads/s"));
  if (limits.write_iops() > 0) parts.push_back(absl::StrCat(limits.write_iops(), " writes/s"));
  if (limits.read_bytes_per_second() > 0)
    parts.push_back(absl::StrCat(api::FormatBytes(limits.read_bytes_per_second()), "/s read"));
  if (limits.write_bytes_per_second() > 0)
    parts.push_back(absl::StrCat(api::FormatBytes(limits.write_bytes_per_second()), "/s written"));
  if (parts.empty()) parts.push_back("no limits");
  parts.push_back(absl::StrCat("trim ", spec.trim().empty() ? "Weekly" : spec.trim()));
  return absl::StrJoin(parts, ", ");
}

}  // namespace ashlar::controller
