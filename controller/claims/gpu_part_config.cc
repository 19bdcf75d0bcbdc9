#include "controller/claims/gpu_part_config.h"

#include "absl/strings/str_cat.h"
#include "lib/base/status_macros.h"

namespace ashlar::controller {
namespace {

constexpr char kVersion[] = "ashlar.dev/v1alpha1";
constexpr char kKind[] = "GPUPartConfig";
constexpr int64_t kLongest = 604800;
constexpr int64_t kMostWatts = 10000;

absl::Status Refuse(absl::string_view field, const Json& value, absl::string_view accepted) {
  return absl::InvalidArgumentError(absl::StrCat("GPUPartConfig.", field, ": Invalid value: ",
                                                 DumpJson(value).substr(0, 100), ": ", accepted));
}

}  // namespace

absl::StatusOr<GpuPartConfig> ParseGpuPartConfig(const std::string& text) {
  GpuPartConfig config;
  if (text.empty()) return config;
  ASHLAR_ASSIGN_OR_RETURN(const Json json, ParseJson(text));
  if (JsonString(json, {"apiVersion"}) != kVersion || JsonString(json, {"kind"}) != kKind)
    return Refuse("kind", json, absl::StrCat("must be ", kKind, " of ", kVersion));
  for (const auto& [key, value] : json.items()) {
    if (key == "apiVersion" || key == "kind") continue;
    if (key == "powerWatts") {
      const int64_t watts = JsonInt(json, {"powerWatts"}, -1);
      if (watts < 1 || watts > kMostWatts)
        return Refuse(key, value, absl::StrCat("must be a number from 1 to ", kMostWatts));
      config.power_watts = static_cast<int>(watts);
      continue;
    }
    if (key != "keepSeconds")
      return Refuse(key, value, "no such field; there are keepSeconds and powerWatts");
    config.keep_seconds = JsonInt(json, {"keepSeconds"}, -1);
    if (config.keep_seconds < 0 || config.keep_seconds > kLongest)
      return Refuse(key, value, absl::StrCat("must be a number from 0 to ", kLongest));
  }
  return config;
}

Json ToJson(const GpuPartConfig& config) {
  Json json = {{"apiVersion", kVersion}, {"kind", kKind}, {"keepSeconds", config.keep_seconds}};
  if (config.power_watts > 0) json["powerWatts"] = config.power_watts;
  return json;
}

}  // namespace ashlar::controller
