#include "node-agent/gpu/partition/partition_record.h"

#include <array>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "lib/base/log.h"
#include "lib/base/status_macros.h"
#include "lib/system/files.h"

namespace ashlar::node_agent {
namespace {

constexpr std::array<absl::string_view, 4> kPhases = {"making", "makingCompute", "made",
                                                      "removing"};

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

std::string FilePartitionJournal::PathOf(const PartitionRecord& record) const {
  return absl::StrCat(directory_, "/", record.gpu, "-", record.start, ".json");
}

std::string FilePartitionJournal::PathOf(const ModeRecord& record) const {
  return absl::StrCat(directory_, "/", record.gpu, "-mode.json");
}

std::string FilePartitionJournal::PathOf(const PowerRecord& record) const {
  return absl::StrCat(directory_, "/", record.gpu, "-power.json");
}

absl::Status FilePartitionJournal::Save(const PartitionRecord& record) {
  return sys::WritePage(PathOf(record), DumpJson(RecordToJson(record)) + "\n");
}

absl::Status FilePartitionJournal::Remove(const PartitionRecord& record) {
  return sys::RemoveFile(PathOf(record), sys::Durability::kProcessCrash);
}

absl::Status FilePartitionJournal::SaveMode(const ModeRecord& record) {
  return sys::WritePage(
      PathOf(record), DumpJson({{"gpu", record.gpu}, {"mode", true}, {"bootId", record.boot_id}}));
}

absl::Status FilePartitionJournal::RemoveMode(const ModeRecord& record) {
  return sys::RemoveFile(PathOf(record), sys::Durability::kProcessCrash);
}

absl::Status FilePartitionJournal::SavePower(const PowerRecord& record) {
  return sys::WritePage(PathOf(record), DumpJson({{"gpu", record.gpu},
                                                  {"beforeMilliwatts", record.before_milliwatts},
                                                  {"bootId", record.boot_id}}) +
                                            "\n");
}

absl::Status FilePartitionJournal::RemovePower(const PowerRecord& record) {
  return sys::RemoveFile(PathOf(record), sys::Durability::kProcessCrash);
}

absl::StatusOr<PartitionJournal::Records> FilePartitionJournal::Load() {
  ASHLAR_RETURN_IF_ERROR(sys::EnsureDirectory(directory_, 0700));
  ASHLAR_ASSIGN_OR_RETURN(const std::vector<std::string> names, sys::ListDirectory(directory_));
  Records records;
  for (const std::string& name : names) {
    if (!absl::EndsWith(name, ".json")) continue;
    const std::string path = absl::StrCat(directory_, "/", name);
    ASHLAR_ASSIGN_OR_RETURN(const std::string text, sys::ReadFile(path));
    if (text.find_first_not_of('\0') == std::string::npos) {
      // The process died before anything was written, or the power went: nothing was done yet.
      ASHLAR_RETURN_IF_ERROR(sys::RemoveFile(path, sys::Durability::kProcessCrash));
      continue;
    }
    const absl::StatusOr<Json> json = ParseJson(text.substr(0, text.find('\n')));
    absl::Status bad = json.status();
    if (json.ok() && absl::EndsWith(name, "-mode.json")) {
      records.modes.push_back({JsonString(*json, {"gpu"}), JsonString(*json, {"bootId"})});
    } else if (json.ok() && absl::EndsWith(name, "-power.json")) {
      records.powers.push_back({JsonString(*json, {"gpu"}), JsonString(*json, {"bootId"}),
                                JsonInt(*json, {"beforeMilliwatts"})});
    } else if (json.ok()) {
      absl::StatusOr<PartitionRecord> record = PartitionFromJson(*json);
      bad = record.status();
      if (bad.ok()) records.partitions.push_back(*std::move(record));
    }
    if (!bad.ok())
      LogWarning("record of a part of a GPU that cannot be read",
                 {{"file", name}, {"error", bad.ToString()}});
  }
  return records;
}

}  // namespace ashlar::node_agent
