#include "csi/mutable_parameters.h"

#include <algorithm>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "csi/carve_outcome.h"
#include "lib/api/conditions.h"
#include "lib/api/quantity.h"
#include "lib/base/status_macros.h"

namespace ashlar::csi_driver {
namespace {

using v1alpha1::VolumeLimits;

constexpr char kTrim[] = "trim";

struct LimitKey {
  const char* name;
  const char* example;
  void (VolumeLimits::*set)(int64_t);
};
constexpr LimitKey kLimitKeys[] = {
    {"readBytesPerSecond", "100Mi", &VolumeLimits::set_read_bytes_per_second},
    {"readIops", "5k", &VolumeLimits::set_read_iops},
    {"writeBytesPerSecond", "100Mi", &VolumeLimits::set_write_bytes_per_second},
    {"writeIops", "5k", &VolumeLimits::set_write_iops},
};
constexpr char kLimitValues[] =
    "a whole number of at least 1, such as `5k` or `100Mi`; none in pools of the backend Directory";

absl::Status ReadLimit(const LimitKey& key, const std::string& value, VolumeLimits& limits) {
  const absl::StatusOr<api::Quantity> quantity = api::Quantity::Parse(value);
  if (!quantity.ok() || !quantity->IsInteger() || quantity->Value() < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("mutable_parameters[", key.name, "] is '", value,
                     "'; accepted: a whole number of at least 1, such as ", key.example,
                     "; leave the key out for no limit"));
  }
  (limits.*key.set)(quantity->Value());
  return absl::OkStatus();
}

bool Same(const VolumeLimits& a, const VolumeLimits& b) {
  return a.read_iops() == b.read_iops() && a.write_iops() == b.write_iops() &&
         a.read_bytes_per_second() == b.read_bytes_per_second() &&
         a.write_bytes_per_second() == b.write_bytes_per_second();
}

bool SameTrim(const std::string& a, const std::string& b) {
  const auto said = [](const std::string& trim) { return trim.empty() ? "Weekly" : trim; };
  return said(a) == said(b);
}

}  // namespace

const std::vector<MutableParameterRule>& MutableParameterRules() {
  static const auto* const rules = new std::vector<MutableParameterRule>{
      {"readBytesPerSecond", "Bytes that each pod may read from the volume in a second.",
       kLimitValues, "no limit", "fast"},
      {"readIops", "Reads of each pod from the volume in a second.", kLimitValues, "no limit",
       "0.5"},
      {kTrim,
       "How often the free space of the mounted filesystem goes back to the pool, where volumes "
       "take bytes as they are written.",
       "`Never`, `Daily`, `Weekly`", "`Weekly`", "Hourly"},
      {"writeBytesPerSecond", "Bytes that each pod may write to the volume in a second.",
       kLimitValues, "no limit", "-1"},
      {"writeIops", "Writes of each pod to the volume in a second.", kLimitValues, "no limit", "0"},
  };
  return *rules;
}

absl::StatusOr<MutableParameters> ReadMutableParameters(
    const google::protobuf::Map<std::string, std::string>& parameters) {
  MutableParameters read;
  std::vector<std::string> unknown;
  for (const auto& [name, value] : parameters) {
    const auto* key =
        std::find_if(std::begin(kLimitKeys), std::end(kLimitKeys),
                     [&given = name](const LimitKey& one) { return given == one.name; });
    if (key != std::end(kLimitKeys)) {
      ASHLAR_RETURN_IF_ERROR(ReadLimit(*key, value, read.limits));
    } else if (name != kTrim) {
      unknown.push_back(absl::StrCat("'", name, "'"));
    } else if (value != "Never" && value != "Daily" && value != "Weekly") {
      return absl::InvalidArgumentError(absl::StrCat("mutable_parameters[trim] is '", value,
                                                     "'; accepted: Never, Daily, Weekly"));
    } else {
      read.trim = value;
    }
  }
  if (unknown.empty()) return read;
  std::sort(unknown.begin(), unknown.end());
  return absl::InvalidArgumentError(absl::StrCat(
      "mutable_parameters ", absl::StrJoin(unknown, ", "),
      " are not known; accepted: readBytesPerSecond, readIops, trim, writeBytesPerSecond, "
      "writeIops"));
}

bool Apply(const MutableParameters& parameters, v1alpha1::VolumeSpec& spec) {
  if (Same(spec.limits(), parameters.limits) && spec.trim() == parameters.trim) return false;
  spec.set_trim(parameters.trim);
  if (Same(parameters.limits, {})) {
    spec.clear_limits();
  } else {
    *spec.mutable_limits() = parameters.limits;
  }
  return true;
}

ModifyOutcome DecideModify(const v1alpha1::Volume& volume) {
  using Kind = ModifyOutcome::Kind;
  const std::string& name = volume.metadata().name();
  if (volume.metadata().has_deletion_timestamp()) {
    return {Kind::kRefused,
            absl::AbortedError(absl::StrCat("volume ", name, " is being deleted; repeat later"))};
  }
  if (Same(volume.spec().limits(), volume.status().limits()) &&
      SameTrim(volume.spec().trim(), volume.status().trim())) {
    return {Kind::kApplied, absl::OkStatus()};
  }
  const k8s::Condition* applied = api::FindCondition(volume.status().conditions(), "Applied");
  if (applied == nullptr) {
    return {Kind::kPending,
            absl::DeadlineExceededError("the controller has not looked at the change yet")};
  }
  const std::string text = absl::StrCat(applied->reason(), ": ", applied->message());
  const bool fresh = applied->observed_generation() >= volume.metadata().generation();
  if (fresh && applied->status() == "False" && applied->reason() == "Refused") {
    return {Kind::kRefused, absl::InvalidArgumentError(text)};
  }
  return {Kind::kPending, absl::DeadlineExceededError(text)};
}

}  // namespace ashlar::csi_driver
