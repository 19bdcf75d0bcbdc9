#include "node-agent/volume/volume_record.h"

#include <sys/mount.h>

#include <array>

#include "absl/strings/str_cat.h"
#include "lib/base/status_macros.h"
#include "node-agent/volume/mount_flags.h"

namespace ashlar::node_agent {
namespace {

constexpr std::array<absl::string_view, 9> kPhaseNames = {"carving",      "carved",    "expanding",
                                                          "staging",      "staged",    "publishing",
                                                          "unpublishing", "unstaging", "removing"};

std::vector<std::string> Strings(const Json& json, const char* field) {
  std::vector<std::string> strings;
  const Json* all = FindJson(json, {field});
  if (all == nullptr || !all->is_array()) return strings;
  for (const Json& one : *all)
    if (one.is_string()) strings.push_back(one.get<std::string>());
  return strings;
}

}  // namespace

bool VolumeRecord::is_reader() const {
  const auto options = ParseMountFlags(mount_flags, facts.fs_type);
  return options.ok() && (options->flags & MS_RDONLY) != 0;
}

absl::string_view PhaseName(VolumePhase phase) { return kPhaseNames[static_cast<size_t>(phase)]; }

Json RecordToJson(const VolumeRecord& record) {
  Json publications = Json::object();
  for (const auto& [target, publication] : record.publications)
    publications[target] = {{"readOnly", publication.read_only}};
  return Json{{"facts", FactsToJson(record.facts)},
              {"phase", std::string(PhaseName(record.phase))},
              {"bootId", record.boot_id},
              {"stagingPath", record.staging_path},
              {"mountFlags", record.mount_flags},
              {"device", record.device},
              {"publications", publications},
              {"targetPath", record.target_path},
              {"singleWriter", record.single_writer},
              {"frozen", record.frozen},
              {"awaited", record.awaited},
              {"gpuDirect", record.gpu_direct},
              {"corrected", record.corrected},
              {"broken", record.broken},
              {"nearGpus", record.locality.gpus},
              {"nearLevel", record.locality.level},
              {"nearPodNamespace", record.locality.pod_namespace},
              {"nearPodName", record.locality.pod_name}};
}

absl::StatusOr<VolumeRecord> RecordFromJson(const Json& json) {
  VolumeRecord record;
  const Json* facts = FindJson(json, {"facts"});
  if (facts == nullptr) return absl::InvalidArgumentError("the record has no facts");
  ASHLAR_ASSIGN_OR_RETURN(record.facts, FactsFromJson(*facts));
  const std::string phase = JsonString(json, {"phase"});
  size_t index = 0;
  while (index < kPhaseNames.size() && kPhaseNames[index] != phase) ++index;
  if (index == kPhaseNames.size())
    return absl::InvalidArgumentError(absl::StrCat("phase \"", phase, "\" is unknown"));
  record.phase = static_cast<VolumePhase>(index);
  record.boot_id = JsonString(json, {"bootId"});
  record.staging_path = JsonString(json, {"stagingPath"});
  record.device = JsonString(json, {"device"});
  record.target_path = JsonString(json, {"targetPath"});
  record.corrected = JsonString(json, {"corrected"});
  record.broken = JsonString(json, {"broken"});
  record.mount_flags = Strings(json, "mountFlags");
  record.locality = {Strings(json, "nearGpus"), JsonString(json, {"nearLevel"}),
                     JsonString(json, {"nearPodNamespace"}), JsonString(json, {"nearPodName"})};
  if (const Json* all = FindJson(json, {"publications"}); all != nullptr && all->is_object())
    for (const auto& [target, one] : all->items())
      record.publications[target].read_only = FindJson(one, {"readOnly"}) != nullptr &&
                                              FindJson(one, {"readOnly"})->is_boolean() &&
                                              FindJson(one, {"readOnly"})->get<bool>();
  if (const Json* single = FindJson(json, {"singleWriter"});
      single != nullptr && single->is_boolean())
    record.single_writer = single->get<bool>();
  if (const Json* wanted = FindJson(json, {"gpuDirect"}); wanted != nullptr && wanted->is_boolean())
    record.gpu_direct = wanted->get<bool>();
  if (const Json* frozen = FindJson(json, {"frozen"}); frozen != nullptr && frozen->is_boolean())
    record.frozen = frozen->get<bool>();
  if (const Json* awaited = FindJson(json, {"awaited"});
      awaited != nullptr && awaited->is_boolean())
    record.awaited = awaited->get<bool>();
  return record;
}

}  // namespace ashlar::node_agent
