#include "node-agent/storage/namespace/namespace_records.h"

#include <array>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "lib/base/json.h"
#include "lib/base/status_macros.h"
#include "lib/system/files.h"
#include "node-agent/storage/pool_types.h"

namespace ashlar::node_agent {
namespace {

constexpr absl::Duration kWhileItMayPass = absl::Minutes(10);
constexpr absl::string_view kRefusals = "refusals";

constexpr std::array<absl::string_view, 5> kPhases = {"reserved", "creating", "making", "volume",
                                                      "wiping"};

absl::StatusOr<NamespacePhase> PhaseFromName(const std::string& name) {
  for (size_t i = 0; i < kPhases.size(); ++i)
    if (kPhases[i] == name) return static_cast<NamespacePhase>(i);
  return absl::DataLossError(absl::StrCat("\"", name, "\" is no phase"));
}

bool JsonBool(const Json& json, const char* key) {
  const Json* value = FindJson(json, {key});
  return value != nullptr && value->is_boolean() && value->get<bool>();
}

Json ToJson(const NamespaceRecord& record) {
  return Json{{"phase", std::string(kPhases[static_cast<size_t>(record.phase)])},
              {"subsystem", record.nqn},
              {"serial", record.serial},
              {"nsid", record.nsid},
              {"identity", record.identity},
              {"sizeBytes", record.size_bytes},
              {"created", record.created},
              {"attached", record.attached},
              {"before", record.before},
              {"facts", FactsToJson(record.facts)}};
}

absl::StatusOr<NamespaceRecord> RecordFromJson(const Json& json) {
  NamespaceRecord record;
  ASHLAR_ASSIGN_OR_RETURN(record.phase, PhaseFromName(JsonString(json, {"phase"})));
  record.nqn = JsonString(json, {"subsystem"});
  record.serial = JsonString(json, {"serial"});
  record.nsid = static_cast<uint32_t>(JsonInt(json, {"nsid"}));
  record.identity = JsonString(json, {"identity"});
  record.size_bytes = JsonInt(json, {"sizeBytes"});
  record.created = JsonBool(json, "created");
  record.attached = JsonBool(json, "attached");
  if (const Json* before = FindJson(json, {"before"}); before != nullptr && before->is_array())
    for (const Json& nsid : *before)
      if (nsid.is_number_unsigned()) record.before.push_back(nsid.get<uint32_t>());
  const Json* facts = FindJson(json, {"facts"});
  if (facts == nullptr || record.nqn.empty())
    return absl::DataLossError("it names no volume or no subsystem");
  ASHLAR_ASSIGN_OR_RETURN(record.facts, FactsFromJson(*facts));
  return record;
}

absl::StatusOr<Json> ReadJson(const std::string& path) {
  ASHLAR_ASSIGN_OR_RETURN(const std::string text, sys::ReadFile(path));
  return ParseJson(text);
}

std::string RefusalPath(const std::string& directory, const std::string& nqn) {
  return absl::StrCat(directory, "/", kRefusals, "/", FilesystemUuid(nqn), ".json");
}

}  // namespace

std::string NamespaceRecords::Path(const std::string& id) const {
  return absl::StrCat(directory_, "/", FileStem(id), ".json");
}

absl::Status NamespaceRecords::Load() {
  const std::string refusals = absl::StrCat(directory_, "/", kRefusals);
  ASHLAR_RETURN_IF_ERROR(sys::EnsureDirectory(refusals, 0700));
  ASHLAR_ASSIGN_OR_RETURN(const std::vector<std::string> names, sys::ListDirectory(directory_));
  for (const std::string& name : names) {
    if (!absl::EndsWith(name, ".json")) continue;
    const auto json = ReadJson(absl::StrCat(directory_, "/", name));
    auto record = json.ok() ? RecordFromJson(*json) : json.status();
    if (!record.ok())
      return absl::DataLossError(
          absl::StrCat("record ", name, " of a namespace is damaged: ", record.status().message()));
    const std::string id = record->facts.id;
    records_[id] = *std::move(record);
  }
  ASHLAR_ASSIGN_OR_RETURN(const std::vector<std::string> refused, sys::ListDirectory(refusals));
  for (const std::string& name : refused) {
    const auto json = ReadJson(absl::StrCat(refusals, "/", name));
    if (!json.ok()) continue;  // it will be refused again
    refusals_[JsonString(*json, {"subsystem"})] = {
        static_cast<sys::NvmeStatus>(JsonInt(*json, {"status"})), JsonInt(*json, {"sizeBytes"}),
        JsonInt(*json, {"unallocatedBytes"}), JsonString(*json, {"firmware"}),
        absl::FromUnixSeconds(JsonInt(*json, {"when"}))};
  }
  return absl::OkStatus();
}

absl::Status NamespaceRecords::Save(const NamespaceRecord& record) {
  const std::string& id = record.facts.id;
  ASHLAR_RETURN_IF_ERROR(sys::ReplaceFileDurably(Path(id), DumpJson(ToJson(record))));
  records_[id] = record;
  return absl::OkStatus();
}

absl::Status NamespaceRecords::Remove(const std::string& id) {
  ASHLAR_RETURN_IF_ERROR(sys::RemoveFile(Path(id), sys::Durability::kPowerCut));
  records_.erase(id);
  return absl::OkStatus();
}

const NamespaceRecord* NamespaceRecords::Find(const std::string& id) const {
  const auto found = records_.find(id);
  return found == records_.end() ? nullptr : &found->second;
}

const NamespaceRecord* NamespaceRecords::Of(const NvmeSubsystem& subsystem,
                                            const NvmeNamespaceState& space) const {
  for (const auto& [id, record] : records_)
    if (record.nqn == subsystem.nqn && record.nsid == space.nsid &&
        record.identity == space.identity)
      return &record;
  return nullptr;
}

absl::Status NamespaceRecords::SaveRefusal(const std::string& nqn,
                                           const NamespaceRefusal& refusal) {
  const Json json{{"subsystem", nqn},
                  {"status", refusal.status},
                  {"sizeBytes", refusal.size_bytes},
                  {"unallocatedBytes", refusal.unallocated_bytes},
                  {"firmware", refusal.firmware},
                  {"when", absl::ToUnixSeconds(refusal.when)}};
  refusals_[nqn] = refusal;
  return sys::ReplaceFileDurably(RefusalPath(directory_, nqn), DumpJson(json));
}

const NamespaceRefusal* NamespaceRecords::RefusalOf(const NvmeSubsystem& subsystem,
                                                    absl::Time now) const {
  const auto found = refusals_.find(subsystem.nqn);
  if (found == refusals_.end()) return nullptr;
  const NamespaceRefusal& refusal = found->second;
  const bool holds =
      refusal.unallocated_bytes == subsystem.unallocated_bytes &&
      refusal.firmware == subsystem.firmware &&
      ((refusal.status & sys::kNvmeDoNotRetry) != 0 || now < refusal.when + kWhileItMayPass);
  return holds ? &refusal : nullptr;
}

}  // namespace ashlar::node_agent
