// The parameters of a VolumeAttributesClass: what may change of a volume while it is in use. A
// class says all of it: what it leaves out goes back to its default. Pure.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "ashlar/v1alpha1/volume.pb.h"

namespace ashlar::csi_driver {

struct MutableParameters {
  v1alpha1::VolumeLimits limits;
  std::string trim;  // empty: not said
};

// For the reference page: what there is, and a value that is refused.
struct MutableParameterRule {
  const char* name;
  const char* meaning;
  const char* accepted;
  const char* absent;
  const char* wrong;
};
const std::vector<MutableParameterRule>& MutableParameterRules();

// InvalidArgument names the key, its value and what is accepted; unknown keys are refused.
absl::StatusOr<MutableParameters> ReadMutableParameters(
    const google::protobuf::Map<std::string, std::string>& parameters);

// Writes them into the spec. True if that changed it.
bool Apply(const MutableParameters& parameters, v1alpha1::VolumeSpec& spec);

// What has become of spec.limits and spec.trim.
struct ModifyOutcome {
  enum class Kind {
    kPending,  // goes on; `why` says what is missing
    kApplied,  // the node has them
    kRefused,  // the node will not take them; `why` has the code for the caller
  };
  Kind kind = Kind::kPending;
  absl::Status why;
};
ModifyOutcome DecideModify(const v1alpha1::Volume& volume);

}  // namespace ashlar::csi_driver
