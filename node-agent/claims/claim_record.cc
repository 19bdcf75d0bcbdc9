#include "node-agent/claims/claim_record.h"

#include <algorithm>
#include <array>
#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "lib/base/status_macros.h"

namespace ashlar::node_agent {
namespace {

constexpr size_t kMostDevices = 32;  // that a ResourceClaim has
constexpr size_t kLongestUid = 64;
constexpr size_t kLongestPath = 4095;

constexpr std::array<absl::string_view, 4> kPhaseNames = {"told", "preparing", "prepared",
                                                          "unpreparing"};

absl::Status CheckPath(const std::string& path) {
  const auto invalid = [&](absl::string_view accepted) {
    return absl::InvalidArgumentError(
        absl::StrCat("path is \"", path.substr(0, kLongestPath), "\": ", accepted));
  };
  if (path.size() < 2 || path[0] != '/' || path.size() > kLongestPath ||
      absl::StrContains(path, '\0'))
    return invalid("an absolute path of at most 4095 bytes, not the root, is accepted");
  for (const absl::string_view part : absl::StrSplit(path.substr(1), '/'))
    if (part.empty() || part == "." || part == "..")
      return invalid("no empty, \".\" or \"..\" parts are accepted");
  return absl::OkStatus();
}

absl::Status CheckDevice(const ClaimDevice& device) {
  if (device.request.empty() || device.pool.empty() || device.device.empty())
    return absl::InvalidArgumentError("request, pool and device must be set");
  const auto* volume = std::get_if<ClaimVolume>(&device.what);
  if ((volume != nullptr) != (device.driver == kNvmeDriver) ||
      (volume == nullptr && device.driver != kGpuDriver))
    return absl::InvalidArgumentError(
        absl::StrCat("driver is \"", device.driver,
                     "\": ", volume != nullptr ? kNvmeDriver : kGpuDriver, " has such devices"));
  if (const auto* gpu = std::get_if<ClaimGpu>(&device.what); gpu != nullptr)
    return gpu->uuid.empty() ? absl::InvalidArgumentError("uuid must be set") : absl::OkStatus();
  if (const auto* part = std::get_if<ClaimGpuPartition>(&device.what); part != nullptr)
    return part->gpu.empty() || part->profile.empty()
               ? absl::InvalidArgumentError("gpu and profile must be set")
               : absl::OkStatus();
  if (volume->volume_id.empty()) return absl::InvalidArgumentError("volume_id must be set");
  return CheckPath(volume->path);
}

Json DeviceToJson(const ClaimDevice& device) {
  Json json{{"driver", device.driver},
            {"request", device.request},
            {"pool", device.pool},
            {"device", device.device},
            {"shareId", device.share_id}};
  if (const auto* volume = std::get_if<ClaimVolume>(&device.what); volume != nullptr)
    json["volume"] = {{"id", volume->volume_id},
                      {"path", volume->path},
                      {"readOnly", volume->read_only},
                      {"existing", volume->existing}};
  if (const auto* gpu = std::get_if<ClaimGpu>(&device.what); gpu != nullptr)
    json["gpu"] = {{"uuid", gpu->uuid}};
  if (const auto* part = std::get_if<ClaimGpuPartition>(&device.what); part != nullptr)
    json["gpuPartition"] = {{"gpu", part->gpu},
                            {"profile", part->profile},
                            {"start", part->start},
                            {"size", part->size},
                            {"keepSeconds", part->keep_seconds},
                            {"powerWatts", part->power_watts}};
  return json;
}

absl::StatusOr<ClaimDevice> DeviceFromJson(const Json& json) {
  ClaimDevice device;
  device.driver = JsonString(json, {"driver"});
  device.request = JsonString(json, {"request"});
  device.pool = JsonString(json, {"pool"});
  device.device = JsonString(json, {"device"});
  device.share_id = JsonString(json, {"shareId"});
  if (FindJson(json, {"volume"}) != nullptr) {
    const auto is = [&](const char* name) {
      const Json* value = FindJson(json, {"volume", name});
      return value != nullptr && *value == true;
    };
    device.what = ClaimVolume{JsonString(json, {"volume", "id"}),
                              JsonString(json, {"volume", "path"}), is("readOnly"), is("existing")};
  } else if (FindJson(json, {"gpu"}) != nullptr) {
    device.what = ClaimGpu{JsonString(json, {"gpu", "uuid"})};
  } else if (const Json* part = FindJson(json, {"gpuPartition"}); part != nullptr) {
    device.what = ClaimGpuPartition{JsonString(*part, {"gpu"}),
                                    JsonString(*part, {"profile"}),
                                    static_cast<int>(JsonInt(*part, {"start"})),
                                    static_cast<int>(JsonInt(*part, {"size"})),
                                    JsonInt(*part, {"keepSeconds"}),
                                    static_cast<int>(JsonInt(*part, {"powerWatts"}))};
  } else {
    return absl::InvalidArgumentError("a device is of an unknown kind");
  }
  return device;
}

}  // namespace

ClaimPhase ClaimRecord::phase(const std::string& driver) const {
  const auto found = phases.find(driver);
  return found == phases.end() ? ClaimPhase::kTold : found->second;
}

bool ClaimRecord::idle() const {
  return std::all_of(phases.begin(), phases.end(),
                     [](const auto& one) { return one.second == ClaimPhase::kTold; });
}

absl::Status ValidateClaim(const ClaimFacts& facts) {
  const bool named = !facts.uid.empty() && facts.uid.size() <= kLongestUid &&
                     std::all_of(facts.uid.begin(), facts.uid.end(),
                                 [](char c) { return absl::ascii_isalnum(c) || c == '-'; }) &&
                     facts.uid.front() != '-' && facts.uid.back() != '-';
  if (!named)
    return absl::InvalidArgumentError(
        absl::StrCat("uid is \"", facts.uid.substr(0, kLongestUid),
                     "\": letters, digits and inner dashes, at most 64, are accepted"));
  if (facts.devices.empty() || facts.devices.size() > kMostDevices)
    return absl::InvalidArgumentError(
        absl::StrCat("devices has ", facts.devices.size(), " entries: 1 to 32 are accepted"));
  std::set<std::string> paths;
  for (size_t i = 0; i < facts.devices.size(); ++i) {
    absl::Status checked = CheckDevice(facts.devices[i]);
    const auto* volume = std::get_if<ClaimVolume>(&facts.devices[i].what);
    if (checked.ok() && volume != nullptr && !paths.insert(volume->path).second)
      checked = absl::InvalidArgumentError(
          absl::StrCat("path is \"", volume->path, "\", as of another volume of the claim"));
    if (!checked.ok())
      return absl::InvalidArgumentError(absl::StrCat("devices[", i, "].", checked.message()));
  }
  return absl::OkStatus();
}

Json RecordToJson(const ClaimRecord& record) {
  Json devices = Json::array();
  for (const ClaimDevice& device : record.facts.devices) devices.push_back(DeviceToJson(device));
  Json phases = Json::object();
  for (const auto& [driver, phase] : record.phases)
    phases[driver] = std::string(kPhaseNames[static_cast<size_t>(phase)]);
  return Json{{"uid", record.facts.uid},   {"namespace", record.facts.space},
              {"name", record.facts.name}, {"devices", devices},
              {"pods", record.pods},       {"phases", phases},
              {"bootId", record.boot_id}};
}

absl::StatusOr<ClaimRecord> ClaimRecordFromJson(const Json& json) {
  ClaimRecord record;
  record.facts.uid = JsonString(json, {"uid"});
  record.facts.space = JsonString(json, {"namespace"});
  record.facts.name = JsonString(json, {"name"});
  record.boot_id = JsonString(json, {"bootId"});
  if (const Json* devices = FindJson(json, {"devices"}); devices != nullptr)
    for (const Json& one : *devices) {
      ASHLAR_ASSIGN_OR_RETURN(ClaimDevice device, DeviceFromJson(one));
      record.facts.devices.push_back(std::move(device));
    }
  ASHLAR_RETURN_IF_ERROR(ValidateClaim(record.facts));
  if (const Json* pods = FindJson(json, {"pods"}); pods != nullptr && pods->is_array())
    for (const Json& pod : *pods)
      if (pod.is_string()) record.pods.push_back(pod);
  const Json* phases = FindJson(json, {"phases"});
  if (phases == nullptr || !phases->is_object()) return record;
  for (const auto& [driver, name] : phases->items()) {
    const auto* const found = std::find(kPhaseNames.begin(), kPhaseNames.end(),
                                        name.is_string() ? name.get<std::string>() : "");
    if (found == kPhaseNames.end())
      return absl::InvalidArgumentError(absl::StrCat("the phase of ", driver, " is unknown"));
    record.phases[driver] = static_cast<ClaimPhase>(found - kPhaseNames.begin());
  }
  return record;
}

}  // namespace ashlar::node_agent
