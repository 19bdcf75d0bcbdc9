#include "controller/claims/volume_config.h"

#include <algorithm>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "lib/api/quantity.h"
#include "lib/base/json.h"
#include "lib/base/status_macros.h"

namespace ashlar::controller {
namespace {

constexpr size_t kLongestPath = 1024;

absl::Status Refuse(absl::string_view field, const Json& value, absl::string_view accepted) {
  std::string text = DumpJson(value);
  if (text.size() > 100) text = absl::StrCat(text.substr(0, 100), "...");
  return absl::InvalidArgumentError(
      absl::StrCat("VolumeConfig.", field, ": Invalid value: ", text, ": ", accepted));
}

absl::Status ReadText(const Json& config, const char* field, const std::set<std::string>& accepted,
                      std::string& out) {
  const auto found = config.find(field);
  if (found == config.end()) return absl::OkStatus();
  if (!found->is_string() || (!accepted.empty() && accepted.count(found->get<std::string>()) == 0))
    return Refuse(field, *found,
                  accepted.empty()
                      ? std::string("must be a string")
                      : absl::StrCat("must be one of ", absl::StrJoin(accepted, ", ")));
  out = found->get<std::string>();
  return absl::OkStatus();
}

bool IsGoodPath(const std::string& path) {
  if (path.size() < 2 || path.size() > kLongestPath || path[0] != '/') return false;
  const std::vector<std::string> parts = absl::StrSplit(path.substr(1), '/');
  return std::all_of(parts.begin(), parts.end(), [](const std::string& part) {
    return !part.empty() && part != "." && part != ".." &&
           std::all_of(part.begin(), part.end(),
                       [](unsigned char c) { return c > ' ' && c != ':' && c < 127; });
  });
}

absl::Status CheckFields(const Json& config) {
  static const std::set<std::string>& known = *new std::set<std::string>{
      "apiVersion", "kind", "mode", "fsType", "path", "readOnly", "limits"};
  for (const auto& [key, value] : config.items())
    if (known.count(key) == 0)
      return Refuse(key, value,
                    absl::StrCat("no such field; there are ", absl::StrJoin(known, ", ")));
  std::string ignored;
  if (!config.contains("apiVersion")) return Refuse("apiVersion", Json(), "must be set");
  if (!config.contains("kind")) return Refuse("kind", Json(), "must be set");
  ASHLAR_RETURN_IF_ERROR(ReadText(config, "apiVersion", {"ashlar.dev/v1alpha1"}, ignored));
  return ReadText(config, "kind", {"VolumeConfig"}, ignored);
}

struct LimitField {
  const char* name;
  const char* example;
  void (v1alpha1::VolumeLimits::*set)(int64_t);
};
constexpr LimitField kLimitFields[] = {
    {"readBytesPerSecond", "100Mi", &v1alpha1::VolumeLimits::set_read_bytes_per_second},
    {"readIops", "5k", &v1alpha1::VolumeLimits::set_read_iops},
    {"writeBytesPerSecond", "100Mi", &v1alpha1::VolumeLimits::set_write_bytes_per_second},
    {"writeIops", "5k", &v1alpha1::VolumeLimits::set_write_iops},
};

absl::StatusOr<v1alpha1::VolumeLimits> ReadLimits(const Json& json) {
  if (!json.is_object()) return Refuse("limits", json, "must be an object");
  v1alpha1::VolumeLimits limits;
  for (const auto& [name, value] : json.items()) {
    const auto* const field =
        std::find_if(std::begin(kLimitFields), std::end(kLimitFields),
                     [&given = name](const LimitField& one) { return given == one.name; });
    if (field == std::end(kLimitFields))
      return Refuse(absl::StrCat("limits.", name), value,
                    "no such field; there are readBytesPerSecond, readIops, writeBytesPerSecond, "
                    "writeIops");
    const auto quantity =
        api::Quantity::Parse(value.is_string() ? value.get<std::string>() : DumpJson(value));
    if (!quantity.ok() || !quantity->IsInteger() || quantity->Value() < 1)
      return Refuse(absl::StrCat("limits.", name), value,
                    absl::StrCat("must be a whole number of at least 1, such as ", field->example));
    (limits.*field->set)(quantity->Value());
  }
  return limits;
}

// An object; of an empty text what says nothing.
absl::StatusOr<Json> ReadObject(const std::string& text) {
  if (text.empty()) return Json::object();
  ASHLAR_ASSIGN_OR_RETURN(Json json, ParseJson(text));
  if (!json.is_object()) return Refuse("", json, "must be an object");
  ASHLAR_RETURN_IF_ERROR(CheckFields(json));
  return json;
}

absl::StatusOr<VolumeConfig> ReadConfig(const Json& json, const std::string& request) {
  VolumeConfig config;
  ASHLAR_RETURN_IF_ERROR(ReadText(json, "mode", {"Filesystem", "Block"}, config.mode));
  ASHLAR_RETURN_IF_ERROR(ReadText(json, "fsType", {"ext4", "xfs", "btrfs"}, config.fs_type));
  if (config.mode == "Block" && !config.fs_type.empty())
    return Refuse("fsType", config.fs_type, "must be unset for mode Block");
  const std::string name = request.substr(0, request.find('/'));
  config.path = absl::StrCat(config.mode == "Block" ? "/dev/ashlar/" : "/ashlar/", name);
  ASHLAR_RETURN_IF_ERROR(ReadText(json, "path", {}, config.path));
  if (!IsGoodPath(config.path))
    return Refuse("path", Json(config.path),
                  "must be an absolute path other than /, without ., .., //, spaces, colons and a "
                  "slash at its end");
  if (const auto found = json.find("readOnly"); found != json.end()) {
    if (!found->is_boolean()) return Refuse("readOnly", *found, "must be true or false");
    config.read_only = found->get<bool>();
  }
  if (const auto found = json.find("limits"); found != json.end()) {
    ASHLAR_ASSIGN_OR_RETURN(config.limits, ReadLimits(*found));
  }
  return config;
}

}  // namespace

absl::StatusOr<VolumeConfig> ParseVolumeConfig(const std::string& text,
                                               const std::string& request) {
  ASHLAR_ASSIGN_OR_RETURN(const Json json, ReadObject(text));
  return ReadConfig(json, request);
}

absl::StatusOr<VolumeConfig> ParseExistingVolumeConfig(const std::string& text,
                                                       const std::string& request,
                                                       const v1alpha1::Volume& volume) {
  ASHLAR_ASSIGN_OR_RETURN(Json json, ReadObject(text));
  for (const char* field : {"fsType", "limits"})
    if (json.contains(field))
      return Refuse(field, json[field],
                    absl::StrCat("must be unset for volume ", volume.metadata().name(),
                                 ", which has its own"));
  const std::string mode = volume.spec().mode() == "Block" ? "Block" : "Filesystem";
  if (json.contains("mode") && json["mode"] != mode)
    return Refuse(
        "mode", json["mode"],
        absl::StrCat("must be unset or ", mode, ", as volume ", volume.metadata().name(), " is"));
  json["mode"] = mode;
  return ReadConfig(json, request);
}

std::string ParametersFor(const k8s::DeviceAllocationResult& allocation, const std::string& driver,
                          const std::string& request) {
  const std::string main = request.substr(0, request.find('/'));
  std::string parameters;
  for (const k8s::DeviceAllocationConfiguration& config : allocation.config()) {
    if (config.opaque().driver() != driver) continue;
    const auto& requests = config.requests();
    if (requests.empty() || std::count(requests.begin(), requests.end(), request) > 0 ||
        std::count(requests.begin(), requests.end(), main) > 0)
      parameters = config.opaque().parameters();
  }
  return parameters;
}

}  // namespace ashlar::controller
