#include "node-agent/gpu/partition/partition_record.h"

#include <array>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "lib/base/status_macros.h"

namespace ashlar::node_agent {
namespace {

constexpr std::array<absl::string_view, 4> kPhases = {"making", "makingCompute", "made",
                                                      "removing"};

// How the names of records end that are of a whole GPU.
constexpr char kMode[] = "-mode";
constexpr char kPower[] = "-power";

std::string StemOf(const PartitionRecord& record) {
  return absl::StrCat(record.gpu, "-", record.start);
}

int Int(const Json& json, absl::string_view key, int otherwise = 0) {
  return static_cast<int>(JsonInt(json, {key}, otherwise));
}

}  // namespace

Json RecordToJson(const PartitionRecord& record) {
  Json json{{"gpu", record.gpu},
            {"profile", record.profile},
            {"start", record.start},
            {"size", record.size},
            {"phase", std::string(kPhases[static_cast<size_t>(record.phase)])},
            {"claim", record.claim},
            {"keepSeconds", record.keep_seconds},
            {"powerWatts", record.power_watts},
            {"keptUntil", absl::ToUnixSeconds(record.kept_until)},
            {"computeInstance", record.compute_instance},
            {"migDevice", record.mig_device},
            {"bootId", record.boot_id}};
  if (record.instance) json["instance"] = *record.instance;
  return json;
}

absl::StatusOr<PartitionRecord> PartitionFromJson(const Json& json) {
  PartitionRecord record;
  record.gpu = JsonString(json, {"gpu"});
  record.profile = JsonString(json, {"profile"});
  record.start = Int(json, "start", -1);
  record.size = Int(json, "size");
  const std::string phase = JsonString(json, {"phase"});
  size_t index = 0;
  while (index < kPhases.size() && kPhases[index] != phase) ++index;
  if (record.gpu.empty() || record.profile.empty() || record.start < 0 || record.size <= 0 ||
      index == kPhases.size())
    return absl::FailedPreconditionError("a record of a part of a GPU lacks its place or phase");
  record.phase = static_cast<PartitionPhase>(index);
  record.claim = JsonString(json, {"claim"});
  record.keep_seconds = JsonInt(json, {"keepSeconds"});
  record.power_watts = Int(json, "powerWatts");
  record.kept_until = absl::FromUnixSeconds(JsonInt(json, {"keptUntil"}));
  if (FindJson(json, {"instance"}) != nullptr) record.instance = Int(json, "instance");
  record.compute_instance = Int(json, "computeInstance", -1);
  record.mig_device = JsonString(json, {"migDevice"});
  record.boot_id = JsonString(json, {"bootId"});
  return record;
}

absl::Status FilePartitionJournal::Save(const PartitionRecord& record) {
  return folder_.Save(StemOf(record), RecordToJson(record));
}

absl::Status FilePartitionJournal::Remove(const PartitionRecord& record) {
  return folder_.Remove(StemOf(record));
}

absl::Status FilePartitionJournal::SaveMode(const ModeRecord& record) {
  return folder_.Save(record.gpu + kMode,
                      {{"gpu", record.gpu}, {"mode", true}, {"bootId", record.boot_id}});
}

absl::Status FilePartitionJournal::RemoveMode(const ModeRecord& record) {
  return folder_.Remove(record.gpu + kMode);
}

absl::Status FilePartitionJournal::SavePower(const PowerRecord& record) {
  return folder_.Save(record.gpu + kPower, {{"gpu", record.gpu},
                                            {"beforeMilliwatts", record.before_milliwatts},
                                            {"bootId", record.boot_id}});
}

absl::Status FilePartitionJournal::RemovePower(const PowerRecord& record) {
  return folder_.Remove(record.gpu + kPower);
}

absl::StatusOr<PartitionJournal::Records> FilePartitionJournal::Load() {
  Records records;
  const auto read = [&](const std::string& stem, const Json& json) -> absl::Status {
    const std::string gpu = JsonString(json, {"gpu"}), boot_id = JsonString(json, {"bootId"});
    if (absl::EndsWith(stem, kMode)) {
      records.modes.push_back({gpu, boot_id});
    } else if (absl::EndsWith(stem, kPower)) {
      records.powers.push_back({gpu, boot_id, JsonInt(json, {"beforeMilliwatts"})});
    } else {
      ASHLAR_ASSIGN_OR_RETURN(records.partitions.emplace_back(), PartitionFromJson(json));
    }
    return absl::OkStatus();
  };
  ASHLAR_RETURN_IF_ERROR(folder_.Load(read));
  return records;
}

}  // namespace ashlar::node_agent
