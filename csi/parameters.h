// What people may set on a volume for good (what may change is in mutable_parameters.h): one table,
// from which requests are checked and docs/parameters.md is made. To add a parameter, add a row in
// parameters.cc and a field to Parameters. Pure.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "google/protobuf/map.h"

namespace ashlar::csi_driver {

using StringMap = google::protobuf::Map<std::string, std::string>;

// Key of a volume's context that tells the node service of spec.gpuDirect.
inline constexpr char kGpuDirectContext[] = "gpuDirect";

enum class ParameterPlace {
  kStorageClass,  // StorageClass.parameters
  kInlineVolume,  // volumes[].csi.volumeAttributes of a pod
};

// What the values say. A field that no parameter of the place sets keeps its default.
struct Parameters {
  std::string pool;
  std::string fs_type;
  std::string claim_namespace;
  std::string claim_name;
  int64_t size_bytes = 0;  // of an inline volume
  // Of an inline volume: whether it is to lie near the GPUs of its pod, and how near it must.
  bool near = false;
  std::string near_level;
  std::string near_enforcement;
  std::string gpu_direct;  // Required, Preferred; empty: not asked for
};

struct ParameterRule {
  ParameterPlace place;
  const char* name;
  const char* meaning;
  const char* accepted;
  const char* absent;  // what holds if it is not set; nullptr: it must be set
  const char* wrong;   // a value that is refused, with which the reference page shows the error
  // Checks the value and keeps it. `field` is how the error names it.
  absl::Status (*read)(absl::string_view field, const std::string& value, Parameters& parameters);
};

// By place, in the order in which the reference page has them.
const std::vector<ParameterRule>& ParameterRules();

// What the map says. InvalidArgument: a name that the place does not have, with those that it has;
// a wrong value, with what is accepted. Names that Kubernetes adds itself (csi.storage.k8s.io/...)
// are no fault. Whether what must be set is there is asked by CheckRequired.
absl::StatusOr<Parameters> ReadParameters(ParameterPlace place, const StringMap& values);

// InvalidArgument names the first parameter of the place that must be set and is not.
absl::Status CheckRequired(ParameterPlace place, const StringMap& values);

// InvalidArgument for what is neither empty nor a filesystem that volumes can have.
absl::Status CheckFsType(absl::string_view field, absl::string_view fs_type);

}  // namespace ashlar::csi_driver
