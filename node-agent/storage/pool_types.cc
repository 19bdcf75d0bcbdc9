#include "node-agent/storage/pool_types.h"

#include <fnmatch.h>

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "lib/base/fnv.h"
#include "lib/base/status_macros.h"

namespace ashlar::node_agent {
namespace {

bool IsUuid(absl::string_view text) {
  if (text.size() != 36) return false;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool dash = i == 8 || i == 13 || i == 18 || i == 23;
    if (dash ? text[i] != '-' : !absl::ascii_isxdigit(text[i])) return false;
  }
  return true;
}

absl::Status Invalid(absl::string_view field, absl::string_view value, absl::string_view accepted) {
  return absl::InvalidArgumentError(absl::StrCat(field, " is \"", value, "\": ", accepted));
}

constexpr std::pair<BackendKind, absl::string_view> kBackends[] = {
    {BackendKind::kFile, "File"},
    {BackendKind::kDirectory, "Directory"},
    {BackendKind::kLvm, "LVM"},
    {BackendKind::kPartition, "Partition"},
    {BackendKind::kNamespace, "Namespace"},
    {BackendKind::kWholeDrive, "WholeDrive"}};

absl::Status ValidateDirectory(const DirectorySource& source) {
  if (!absl::StartsWith(source.path, "/") || source.path == "/" || source.path.size() > 1024 ||
      absl::StrContains(source.path, '\0'))
    return Invalid("directory.path", source.path, "an absolute path of at most 1024 bytes, not /");
  for (const absl::string_view part : absl::StrSplit(source.path, '/'))
    if (part == "..") return Invalid("directory.path", source.path, "no \"..\" is accepted");
  if (source.capacity_bytes < 0)
    return Invalid("directory.capacity_bytes", absl::StrCat(source.capacity_bytes),
                   "must not be negative");
  return absl::OkStatus();
}

absl::Status ValidateDevices(const DeviceSource& source) {
  if (source.min_size_bytes < 0 || source.max_size_bytes < 0)
    return Invalid("devices.min_size_bytes and max_size_bytes",
                   absl::StrCat(source.min_size_bytes, ", ", source.max_size_bytes),
                   "must not be negative");
  if (source == DeviceSource{})
    return absl::InvalidArgumentError(
        "devices selects nothing: set serials, paths, models, transports or a size");
  return absl::OkStatus();
}

absl::Status ValidateLvm(const PoolSpec& spec) {
  const LvmOptions& lvm = spec.lvm;
  if (lvm.stripes < 1 || lvm.stripes > 64)
    return Invalid("lvm_stripes", absl::StrCat(lvm.stripes), "1 to 64 are accepted");
  if (lvm.mirrors < 0 || lvm.mirrors > 3)
    return Invalid("lvm_mirrors", absl::StrCat(lvm.mirrors), "0 to 3 are accepted");
  if (spec.backend != BackendKind::kLvm && lvm != LvmOptions{})
    return Invalid("backend", BackendName(spec.backend), "stripes and mirrors are for LVM");
  if (spec.sparse && lvm.mirrors > 0)
    return Invalid("lvm_mirrors", absl::StrCat(lvm.mirrors), "thin volumes are not mirrored");
  return absl::OkStatus();
}

}  // namespace

absl::string_view BackendName(BackendKind backend) {
  for (const auto& [kind, name] : kBackends)
    if (kind == backend) return name;
  return "";
}

absl::StatusOr<BackendKind> BackendFromName(absl::string_view name) {
  for (const auto& [kind, known] : kBackends)
    if (known == name) return kind;
  return Invalid("backend", name,
                 "File, Directory, LVM, Partition, Namespace and WholeDrive are accepted");
}

absl::Status ValidatePoolSpec(const PoolSpec& spec) {
  ASHLAR_RETURN_IF_ERROR(ValidateName("name", spec.name));
  if (spec.uid.empty() || spec.uid.size() > 128)
    return Invalid("uid", spec.uid, "1 to 128 characters are accepted");
  if (spec.directory.has_value() == spec.devices.has_value())
    return absl::InvalidArgumentError("source: exactly one of directory and devices must be set");
  if (spec.directory && spec.backend != BackendKind::kFile &&
      spec.backend != BackendKind::kDirectory)
    return Invalid("backend", BackendName(spec.backend),
                   "a pool in a directory has the backend File or Directory");
  if (!spec.wipe.empty() && !spec.devices)
    return absl::InvalidArgumentError("wipe names drives: it needs devices");
  if (std::find(spec.wipe.begin(), spec.wipe.end(), "") != spec.wipe.end())
    return Invalid("wipe", "", "a serial number or a WWID is accepted");
  if (!spec.drain.empty() && !spec.devices)
    return absl::InvalidArgumentError("drain names drives: it needs devices");
  if (std::find(spec.drain.begin(), spec.drain.end(), "") != spec.drain.end())
    return Invalid("drain", "", "a serial number or a WWID is accepted");
  ASHLAR_RETURN_IF_ERROR(ValidateLvm(spec));
  if (spec.inline_volume_max_bytes < 0)
    return Invalid("inline_volume_max_bytes", absl::StrCat(spec.inline_volume_max_bytes),
                   "must not be negative");
  if (spec.reserve_bytes < 0)
    return Invalid("reserve_bytes", absl::StrCat(spec.reserve_bytes), "must not be negative");
  if (spec.overprovision_percent < 100 || spec.overprovision_percent > 10000)
    return Invalid("overprovision_percent", absl::StrCat(spec.overprovision_percent),
                   "100 to 10000 are accepted");
  return spec.directory ? ValidateDirectory(*spec.directory) : ValidateDevices(*spec.devices);
}

bool Matches(const DeviceSource& source, const Drive& drive) {
  const auto any = [](const std::vector<std::string>& wanted, auto matches) {
    return wanted.empty() || std::any_of(wanted.begin(), wanted.end(), matches);
  };
  return any(source.serials,
             [&](const std::string& serial) {
               return !serial.empty() && (serial == drive.serial || serial == drive.wwid);
             }) &&
         any(source.paths,
             [&](const std::string& pattern) { return PatternNames(pattern, drive.device); }) &&
         any(source.models,
             [&](const std::string& pattern) {
               return fnmatch(pattern.c_str(), drive.model.c_str(), 0) == 0;
             }) &&
         any(source.transports,
             [&](const std::string& transport) { return transport == drive.transport; }) &&
         drive.size_bytes >= source.min_size_bytes &&
         (source.max_size_bytes == 0 || drive.size_bytes <= source.max_size_bytes);
}

Json PoolSpecToJson(const PoolSpec& spec) {
  Json json{{"name", spec.name},
            {"uid", spec.uid},
            {"backend", std::string(BackendName(spec.backend))},
            {"sparse", spec.sparse},
            {"reserveBytes", spec.reserve_bytes},
            {"overprovisionPercent", spec.overprovision_percent},
            {"wipe", spec.wipe},
            {"drain", spec.drain},
            {"lvmStripes", spec.lvm.stripes},
            {"lvmMirrors", spec.lvm.mirrors},
            {"inlineVolumeMaxBytes", spec.inline_volume_max_bytes}};
  if (spec.directory)
    json["directory"] = {{"path", spec.directory->path},
                         {"capacityBytes", spec.directory->capacity_bytes}};
  if (spec.devices)
    json["devices"] = {{"serials", spec.devices->serials},
                       {"paths", spec.devices->paths},
                       {"models", spec.devices->models},
                       {"transports", spec.devices->transports},
                       {"minSizeBytes", spec.devices->min_size_bytes},
                       {"maxSizeBytes", spec.devices->max_size_bytes}};
  return json;
}

absl::StatusOr<PoolSpec> PoolSpecFromJson(const Json& json) {
  PoolSpec spec;
  spec.name = JsonString(json, {"name"});
  spec.uid = JsonString(json, {"uid"});
  ASHLAR_ASSIGN_OR_RETURN(spec.backend, BackendFromName(JsonString(json, {"backend"})));
  const Json* sparse = FindJson(json, {"sparse"});
  spec.sparse = sparse != nullptr && sparse->is_boolean() && sparse->get<bool>();
  spec.reserve_bytes = JsonInt(json, {"reserveBytes"});
  spec.overprovision_percent = static_cast<int32_t>(JsonInt(json, {"overprovisionPercent"}, 100));
  spec.wipe = JsonStrings(json, {"wipe"});
  spec.drain = JsonStrings(json, {"drain"});
  spec.lvm = {static_cast<int32_t>(JsonInt(json, {"lvmStripes"}, 1)),
              static_cast<int32_t>(JsonInt(json, {"lvmMirrors"}))};
  spec.inline_volume_max_bytes = JsonInt(json, {"inlineVolumeMaxBytes"});
  if (const Json* directory = FindJson(json, {"directory"}))
    spec.directory =
        DirectorySource{JsonString(*directory, {"path"}), JsonInt(*directory, {"capacityBytes"})};
  if (const Json* devices = FindJson(json, {"devices"}))
    spec.devices =
        DeviceSource{JsonStrings(*devices, {"serials"}),  JsonStrings(*devices, {"paths"}),
                     JsonStrings(*devices, {"models"}),   JsonStrings(*devices, {"transports"}),
                     JsonInt(*devices, {"minSizeBytes"}), JsonInt(*devices, {"maxSizeBytes"})};
  ASHLAR_RETURN_IF_ERROR(ValidatePoolSpec(spec));
  return spec;
}

std::string FilesystemUuid(const std::string& pool_uid) {
  if (IsUuid(pool_uid)) return absl::AsciiStrToLower(pool_uid);
  const uint64_t high = Fnv1a(pool_uid), low = Fnv1a(pool_uid, high ^ 0x5bd1e995);
  // Version 8 (custom) and variant bits as RFC 9562 has them.
  return absl::StrFormat("%08x-%04x-8%03x-%04x-%012x", high >> 32, (high >> 16) & 0xffff,
                         high & 0xfff, ((low >> 48) & 0x3fff) | 0x8000, low & 0xffffffffffff);
}

}  // namespace ashlar::node_agent
