#include "node-agent/volume/journal.h"

#include "lib/base/status_macros.h"
#include "node-agent/storage/volume_facts.h"

namespace ashlar::node_agent {

absl::Status FileJournal::Save(const VolumeRecord& record) {
  return folder_.Save(FileStem(record.facts.id), RecordToJson(record));
}

absl::Status FileJournal::Remove(const std::string& volume_id) {
  return folder_.Remove(FileStem(volume_id));
}

absl::StatusOr<std::vector<VolumeRecord>> FileJournal::Load() {
  std::vector<VolumeRecord> records;
  ASHLAR_RETURN_IF_ERROR(folder_.Load([&](const std::string&, const Json& json) -> absl::Status {
    ASHLAR_ASSIGN_OR_RETURN(records.emplace_back(), RecordFromJson(json));
    return absl::OkStatus();
  }));
  return records;
}

}  // namespace ashlar::node_agent
