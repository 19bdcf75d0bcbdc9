#include "node-agent/claims/claim_journal.h"

#include "absl/strings/str_cat.h"
#include "lib/base/status_macros.h"

namespace ashlar::node_agent {

absl::Status ClaimJournal::Save(const ClaimRecord& record) {
  return folder_.Save(record.facts.uid, RecordToJson(record));
}

absl::Status ClaimJournal::Remove(const std::string& uid) { return folder_.Remove(uid); }

absl::StatusOr<std::vector<ClaimRecord>> ClaimJournal::Load() {
  std::vector<ClaimRecord> records;
  ASHLAR_RETURN_IF_ERROR(
      folder_.Load([&](const std::string& stem, const Json& json) -> absl::Status {
        ASHLAR_ASSIGN_OR_RETURN(ClaimRecord record, ClaimRecordFromJson(json));
        if (record.facts.uid != stem)
          return absl::FailedPreconditionError(absl::StrCat("it is of claim ", record.facts.uid));
        records.push_back(std::move(record));
        return absl::OkStatus();
      }));
  return records;
}

}  // namespace ashlar::node_agent
