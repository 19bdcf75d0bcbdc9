#include "node-agent/storage/lvm/lvm_report.h"

#include <algorithm>
#include <map>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "lib/base/json.h"
#include "lib/base/status_macros.h"

namespace ashlar::node_agent {
namespace {

constexpr absl::string_view kFactsTag = "ashlar.facts";
constexpr absl::string_view kVolumePrefix = "v_", kGrowthPrefix = "g_";
constexpr size_t kPiece = 900;  // of the 1024 characters of a tag

bool IsPlain(char c) { return absl::ascii_isalnum(c) || absl::StrContains("_.-/=!:+", c); }

// Characters that a tag cannot have become #XX.
std::string Escape(absl::string_view text) {
  std::string out;
  for (const char c : text) {
    if (IsPlain(c))
      out.push_back(c);
    else
      absl::StrAppendFormat(&out, "#%02X", static_cast<unsigned char>(c));
  }
  return out;
}

absl::StatusOr<std::string> Unescape(absl::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '#') {
      out.push_back(text[i]);
      continue;
    }
    if (i + 2 >= text.size() || !absl::ascii_isxdigit(text[i + 1]) ||
        !absl::ascii_isxdigit(text[i + 2]))
      return absl::InvalidArgumentError("a tag has a # without two hexadecimal digits");
    out += absl::HexStringToBytes(text.substr(i + 1, 2));
    i += 2;
  }
  return out;
}

int64_t Integer(const Json& row, absl::string_view field, int64_t otherwise = 0) {
  int64_t value;
  return absl::SimpleAtoi(JsonString(row, {field}), &value) ? value : otherwise;
}

double Percent(const Json& row, absl::string_view field) {
  double value;
  return absl::SimpleAtod(JsonString(row, {field}), &value) ? value : 0;
}

std::vector<std::string> Tags(const Json& row, absl::string_view field) {
  return absl::StrSplit(JsonString(row, {field}), ',', absl::SkipEmpty());
}

PhysicalVolume PhysicalVolumeOf(const Json& row) {
  PhysicalVolume pv;
  pv.device = JsonString(row, {"pv_name"});
  pv.uuid = JsonString(row, {"pv_uuid"});
  pv.group = JsonString(row, {"vg_name"});
  pv.tags = Tags(row, "vg_tags");
  pv.missing = !JsonString(row, {"pv_missing"}).empty();
  pv.allocatable = !JsonString(row, {"pv_allocatable"}).empty();
  pv.extents = Integer(row, "pv_pe_count");
  pv.used_extents = Integer(row, "pv_pe_alloc_count");
  return pv;
}

LogicalVolume LogicalVolumeOf(const Json& row) {
  LogicalVolume lv;
  lv.name =
      std::string(absl::StripSuffix(absl::StripPrefix(JsonString(row, {"lv_name"}), "["), "]"));
  lv.hidden = absl::StartsWith(JsonString(row, {"lv_name"}), "[");
  lv.uuid = JsonString(row, {"lv_uuid"});
  lv.tags = Tags(row, "lv_tags");
  lv.size_bytes = Integer(row, "lv_size");
  lv.minor = static_cast<int>(Integer(row, "lv_kernel_minor", -1));
  lv.read_only = absl::StartsWith(JsonString(row, {"lv_permissions"}), "read-only");
  lv.health = JsonString(row, {"lv_health_status"});
  lv.pool =
      std::string(absl::StripSuffix(absl::StripPrefix(JsonString(row, {"pool_lv"}), "["), "]"));
  lv.layout = JsonString(row, {"lv_layout"});
  lv.data_percent = Percent(row, "data_percent");
  lv.metadata_percent = Percent(row, "metadata_percent");
  lv.metadata_bytes = Integer(row, "lv_metadata_size");
  return lv;
}

// A volume has a row for each of its segments.
void AddRanges(const std::vector<Json>& segments, std::vector<LogicalVolume>& lvs) {
  std::map<std::string, LogicalVolume*> by_name;
  for (LogicalVolume& lv : lvs) by_name[lv.name] = &lv;
  for (const Json& row : segments) {
    const auto lv = by_name.find(LogicalVolumeOf(row).name);
    if (lv == by_name.end()) continue;
    const std::vector<std::string> ranges =
        absl::StrSplit(JsonString(row, {"seg_pe_ranges"}), ' ', absl::SkipEmpty());
    lv->second->ranges.insert(lv->second->ranges.end(), ranges.begin(), ranges.end());
    lv->second->thin_id = Integer(row, "thin_id", -1);
    lv->second->stripes = std::max(1, static_cast<int>(ranges.size()));
  }
}

// A hidden part is called like its volume: v_1_rimage_0, pool_tdata.
bool IsPartOf(const LogicalVolume& part, const LogicalVolume& lv) {
  return &part == &lv || (part.hidden && absl::StartsWith(part.name, absl::StrCat(lv.name, "_")));
}

bool LiesOn(const LogicalVolume& lv, absl::string_view device) {
  const std::vector<std::string> devices = lv.devices();
  return std::find(devices.begin(), devices.end(), device) != devices.end();
}

// The rows of that name in all reports; an error unless the text is a report.
absl::StatusOr<std::vector<Json>> Rows(const Json& json, absl::string_view name) {
  const Json* reports = FindJson(json, {"report"});
  if (reports == nullptr || !reports->is_array())
    return absl::InvalidArgumentError("LVM's report has no array \"report\"");
  std::vector<Json> rows;
  for (const Json& report : *reports)
    if (const Json* found = FindJson(report, {name}); found != nullptr && found->is_array())
      for (const Json& row : *found)
        if (row.is_object()) rows.push_back(row);
  return rows;
}

}  // namespace

bool LogicalVolume::has_tag(absl::string_view tag) const {
  return std::find(tags.begin(), tags.end(), tag) != tags.end();
}

bool LogicalVolume::is_volume() const { return !hidden && absl::StartsWith(name, kVolumePrefix); }

bool LogicalVolume::is_growth() const { return !hidden && absl::StartsWith(name, kGrowthPrefix); }

bool LogicalVolume::is_mirrored() const { return absl::StrContains(layout, "raid"); }

std::vector<std::string> LogicalVolume::devices() const {
  std::vector<std::string> devices;
  for (const std::string& range : ranges) {
    std::string device = range.substr(0, range.rfind(':'));
    if (std::find(devices.begin(), devices.end(), device) == devices.end())
      devices.push_back(std::move(device));
  }
  return devices;
}

std::string LogicalVolume::device() const {
  return minor < 0 ? "" : absl::StrCat("/dev/dm-", minor);
}

const LogicalVolume* VolumeGroup::Find(absl::string_view lv) const {
  for (const LogicalVolume& candidate : lvs)
    if (candidate.name == lv) return &candidate;
  return nullptr;
}

const PhysicalVolume* VolumeGroup::FindDrive(absl::string_view device) const {
  for (const PhysicalVolume& pv : pvs)
    if (pv.device == device) return &pv;
  return nullptr;
}

std::vector<const LogicalVolume*> VolumeGroup::LegsOf(const LogicalVolume& lv) const {
  std::vector<const LogicalVolume*> legs;
  for (const std::string& part : lv.devices())
    if (const LogicalVolume* leg = Find(part); leg != nullptr) legs.push_back(leg);
  return legs;
}

bool VolumeGroup::IsMoving(const LogicalVolume& lv) const {
  return std::any_of(lvs.begin(), lvs.end(), [&](const LogicalVolume& part) {
    return IsPartOf(part, lv) && LiesOn(part, kMove);
  });
}

std::vector<std::string> VolumeGroup::VolumesOn(absl::string_view device) const {
  std::vector<std::string> names;
  for (const LogicalVolume& lv : lvs) {
    const bool on_it = std::any_of(lvs.begin(), lvs.end(), [&](const LogicalVolume& part) {
      return IsPartOf(part, lv) && LiesOn(part, device);
    });
    if (!lv.hidden && on_it) names.push_back(lv.name);
  }
  return names;
}

bool VolumeGroup::missing_drives() const {
  return std::any_of(pvs.begin(), pvs.end(), [](const PhysicalVolume& pv) { return pv.missing; });
}

absl::StatusOr<VolumeGroup> ParseGroup(absl::string_view text) {
  ASHLAR_ASSIGN_OR_RETURN(const Json json, ParseJson(text));
  ASHLAR_ASSIGN_OR_RETURN(const std::vector<Json> groups, Rows(json, "vg"));
  if (groups.size() != 1)
    return absl::InvalidArgumentError(
        absl::StrCat("LVM's report has ", groups.size(), " volume groups, not one"));
  VolumeGroup group;
  group.name = JsonString(groups[0], {"vg_name"});
  group.uuid = JsonString(groups[0], {"vg_uuid"});
  group.tags = Tags(groups[0], "vg_tags");
  group.extent_bytes = Integer(groups[0], "vg_extent_size");
  if (group.extent_bytes <= 0)
    return absl::InvalidArgumentError("LVM's report has a volume group without vg_extent_size");
  ASHLAR_ASSIGN_OR_RETURN(const std::vector<Json> pvs, Rows(json, "pv"));
  for (const Json& row : pvs) group.pvs.push_back(PhysicalVolumeOf(row));
  ASHLAR_ASSIGN_OR_RETURN(const std::vector<Json> lvs, Rows(json, "lv"));
  for (const Json& row : lvs) group.lvs.push_back(LogicalVolumeOf(row));
  ASHLAR_ASSIGN_OR_RETURN(const std::vector<Json> segments, Rows(json, "seg"));
  AddRanges(segments, group.lvs);
  return group;
}

absl::StatusOr<std::vector<PhysicalVolume>> ParsePhysicalVolumes(absl::string_view text) {
  ASHLAR_ASSIGN_OR_RETURN(const Json json, ParseJson(text));
  ASHLAR_ASSIGN_OR_RETURN(const std::vector<Json> rows, Rows(json, "pv"));
  std::vector<PhysicalVolume> pvs;
  for (const Json& row : rows)
    if (PhysicalVolume pv = PhysicalVolumeOf(row); !pv.uuid.empty()) pvs.push_back(std::move(pv));
  return pvs;
}

std::vector<std::string> TagsOfFacts(const VolumeFacts& facts) {
  const std::string text = Escape(DumpJson(FactsToJson(facts)));
  std::vector<std::string> tags;
  for (size_t at = 0; at < text.size(); at += kPiece)
    tags.push_back(absl::StrCat(kFactsTag, tags.size(), "=", text.substr(at, kPiece)));
  return tags;
}

absl::StatusOr<VolumeFacts> FactsOfTags(const std::vector<std::string>& tags) {
  std::map<int, absl::string_view> pieces;
  for (const std::string& tag : tags) {
    absl::string_view rest = tag;
    if (!absl::ConsumePrefix(&rest, kFactsTag)) continue;
    const std::pair<absl::string_view, absl::string_view> parts =
        absl::StrSplit(rest, absl::MaxSplits('=', 1));
    int number;
    if (!absl::SimpleAtoi(parts.first, &number) || number < 0)
      return absl::InvalidArgumentError(absl::StrCat("a tag has no number: ", tag));
    pieces[number] = parts.second;
  }
  std::string text;
  for (const auto& [number, piece] : pieces) absl::StrAppend(&text, piece);
  ASHLAR_ASSIGN_OR_RETURN(const std::string plain, Unescape(text));
  ASHLAR_ASSIGN_OR_RETURN(const Json json, ParseJson(plain));
  return FactsFromJson(json);
}

std::string UidTag(absl::string_view pool_uid) {
  return absl::StrCat("ashlar.uid=", Escape(pool_uid));
}

std::string GroupName(const std::string& pool_uid) {
  return absl::StrCat("ashlar-", absl::StrReplaceAll(FilesystemUuid(pool_uid), {{"-", ""}}));
}

std::string GrowthName(absl::string_view volume_name) {
  return absl::StrCat(kGrowthPrefix, absl::StripPrefix(volume_name, kVolumePrefix));
}

std::string VolumeName(const std::string& id) {
  return absl::StrCat(kVolumePrefix, absl::StrReplaceAll(FilesystemUuid(id), {{"-", ""}}));
}

}  // namespace ashlar::node_agent
