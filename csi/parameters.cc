#include "csi/parameters.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "csi/request_validation.h"
#include "lib/api/quantity.h"
#include "lib/base/status_macros.h"

namespace ashlar::csi_driver {
namespace {

using Place = ParameterPlace;

// Of what Kubernetes and its sidecars add to what people write.
constexpr char kKubernetes[] = "csi.storage.k8s.io/";
constexpr char kFsType[] = "csi.storage.k8s.io/fstype";

absl::Status ReadPool(absl::string_view field, const std::string& value, Parameters& parameters) {
  if (!value.empty() && !IsObjectName(value)) {
    return absl::InvalidArgumentError(
        absl::StrCat(field, " '", value, "' can't be the name of a Pool"));
  }
  parameters.pool = value;
  return absl::OkStatus();
}

absl::Status ReadFsType(absl::string_view field, const std::string& value, Parameters& parameters) {
  ASHLAR_RETURN_IF_ERROR(CheckFsType(field, value));
  parameters.fs_type = value;
  return absl::OkStatus();
}

absl::Status ReadInlineSize(absl::string_view field, const std::string& value,
                            Parameters& parameters) {
  const absl::StatusOr<api::Quantity> size = api::Quantity::Parse(value);
  const absl::StatusOr<int64_t> bytes = api::ParseBytes(value);
  if (!bytes.ok() || *bytes <= 0 || !size.ok() || !size->IsInteger()) {
    return absl::InvalidArgumentError(
        absl::StrCat(field, " '", value, "' is not a size above 0, such as 10Gi"));
  }
  parameters.size_bytes = *bytes;
  return absl::OkStatus();
}

absl::Status CheckOneOf(absl::string_view field, const std::string& value,
                        const std::vector<std::string>& accepted) {
  if (std::count(accepted.begin(), accepted.end(), value) > 0) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      field, " '", value, "' is not known; accepted: ", absl::StrJoin(accepted, ", ")));
}

absl::Status ReadNear(absl::string_view field, const std::string& value, Parameters& parameters) {
  parameters.near = true;
  return CheckOneOf(field, value, {"auto"});
}

absl::Status ReadNearLevel(absl::string_view field, const std::string& value,
                           Parameters& parameters) {
  parameters.near_level = value;
  return CheckOneOf(field, value, {"Switch", "Root", "NUMANode"});
}

absl::Status ReadNearEnforcement(absl::string_view field, const std::string& value,
                                 Parameters& parameters) {
  parameters.near_enforcement = value;
  return CheckOneOf(field, value, {"Required", "Preferred"});
}

absl::Status ReadGpuDirect(absl::string_view field, const std::string& value,
                           Parameters& parameters) {
  parameters.gpu_direct = value;
  return CheckOneOf(field, value, {"Required", "Preferred"});
}

// As the one who wrote the map knows it.
const char* MapOf(Place place) {
  return place == Place::kInlineVolume ? "volumeAttributes" : "parameters";
}

const ParameterRule* FindRule(Place place, absl::string_view name) {
  const auto& rules = ParameterRules();
  const auto found = std::find_if(rules.begin(), rules.end(), [&](const ParameterRule& rule) {
    return rule.place == place && rule.name == name;
  });
  return found == rules.end() ? nullptr : &*found;
}

std::string NamesOf(Place place) {
  std::vector<std::string> names;
  for (const ParameterRule& rule : ParameterRules()) {
    if (rule.place == place) names.push_back(rule.name);
  }
  return names.empty() ? "none" : absl::StrJoin(names, ", ");
}

// What Kubernetes says of its own accord; people cannot know it.
void ReadAdded(absl::string_view name, const std::string& value, Parameters& parameters) {
  if (!absl::ConsumePrefix(&name, kKubernetes)) return;
  if (name == "pvc/namespace") parameters.claim_namespace = value;
  if (name == "pvc/name") parameters.claim_name = value;
}

bool MayBeAdded(Place place, absl::string_view name) {
  if (!absl::ConsumePrefix(&name, kKubernetes)) return false;
  if (place == Place::kInlineVolume) return true;  // who the pod is, and what it may do
  return place == Place::kStorageClass &&
         (name == "pvc/namespace" || name == "pvc/name" || name == "pv/name");
}

}  // namespace

const std::vector<ParameterRule>& ParameterRules() {
  static const auto* const rules = new std::vector<ParameterRule>{
      {Place::kStorageClass, "pool", "The Pool that volumes are carved from.", "the name of a Pool",
       nullptr, "Fast_Disks", ReadPool},
      {Place::kStorageClass, kFsType, "The filesystem of volumes that are not raw block devices.",
       "`ext4`, `xfs`; in pools of the backend Directory `btrfs` or `xfs`, as the pool lies on",
       "`ext4`; in pools of the backend Directory what the pool lies on", "ntfs", ReadFsType},
      {Place::kStorageClass, "gpuDirect",
       "That volumes are for GPUDirect Storage: their condition GPUDirect says which way cuFile "
       "takes, and why; with `Required` no pod gets one where that is the compatibility mode.",
       "`Required`, `Preferred`; the pool's backend must be Partition, Namespace or WholeDrive, "
       "and ext4 needs `data=ordered` among the mountOptions",
       "it is not looked at", "Maybe", ReadGpuDirect},
      {Place::kInlineVolume, "pool",
       "The Pool of the pod's node that the volume is carved from; it must allow it by "
       "`spec.inlineVolumes.maxSize`.",
       "the name of a Pool", nullptr, "Fast_Disks", ReadPool},
      {Place::kInlineVolume, "size", "The size of the volume.",
       "a quantity of bytes, such as `10Gi`", nullptr, "plenty", ReadInlineSize},
      {Place::kInlineVolume, "near",
       "`auto`: the volume lies on the drive of the pool with room for it that is nearest to the "
       "GPUs which a device plugin or a ResourceClaim gave the pod; of several GPUs the farthest "
       "counts.",
       "`auto`", "the drive of the pool with the most room", "gpu", ReadNear},
      {Place::kInlineVolume, "nearLevel",
       "With `near`, if it is required: the farthest level that will do. What the drive and the "
       "GPU share: a PCIe switch, a PCIe root, or a NUMA node.",
       "`Switch`, `Root`, `NUMANode`", "`Switch`", "Rack", ReadNearLevel},
      {Place::kInlineVolume, "nearEnforcement",
       "With `near`: whether the pod waits while no drive within `nearLevel` has room, or its GPUs "
       "are not known, or the volume is then carved as near as can be.",
       "`Required`, `Preferred`", "`Preferred`", "Maybe", ReadNearEnforcement},
  };
  return *rules;
}

absl::StatusOr<Parameters> ReadParameters(ParameterPlace place, const StringMap& values) {
  Parameters parameters;
  std::vector<std::string> unknown;
  for (const auto& [name, value] : values) {
    if (const ParameterRule* rule = FindRule(place, name); rule != nullptr) {
      ASHLAR_RETURN_IF_ERROR(
          rule->read(absl::StrCat(MapOf(place), "[", name, "]"), value, parameters));
    } else if (MayBeAdded(place, name)) {
      ReadAdded(name, value, parameters);
    } else {
      unknown.push_back(absl::StrCat("'", name, "'"));
    }
  }
  if (unknown.empty() && !parameters.near &&
      !(parameters.near_level.empty() && parameters.near_enforcement.empty()))
    return absl::InvalidArgumentError(absl::StrCat(
        MapOf(place), "[", parameters.near_level.empty() ? "nearEnforcement" : "nearLevel",
        "] says nothing without near: auto"));
  if (unknown.empty()) return parameters;
  std::sort(unknown.begin(), unknown.end());
  return absl::InvalidArgumentError(absl::StrCat(MapOf(place), " ", absl::StrJoin(unknown, ", "),
                                                 " are not known; accepted: ", NamesOf(place)));
}

absl::Status CheckRequired(ParameterPlace place, const StringMap& values) {
  for (const ParameterRule& rule : ParameterRules()) {
    if (rule.place != place || rule.absent != nullptr) continue;
    const auto found = values.find(rule.name);
    if (found != values.end() && !found->second.empty()) continue;
    return absl::InvalidArgumentError(
        absl::StrCat(MapOf(place), "[", rule.name, "] is required: ", rule.meaning));
  }
  return absl::OkStatus();
}

absl::Status CheckFsType(absl::string_view field, absl::string_view fs_type) {
  if (fs_type.empty() || fs_type == "ext4" || fs_type == "xfs" || fs_type == "btrfs") {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat(field, " '", fs_type, "' is not known; accepted: ext4, xfs, btrfs"));
}

}  // namespace ashlar::csi_driver
