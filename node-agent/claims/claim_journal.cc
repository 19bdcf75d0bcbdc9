#include "node-agent/claims/claim_journal.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "lib/base/log.h"
#include "lib/base/status_macros.h"
#include "lib/system/files.h"

namespace ashlar::node_agent {

std::string ClaimJournal::PathOf(const std::string& uid) const {
  return absl::StrCat(directory_, "/", uid, ".json");
}

absl::Status ClaimJournal::Save(const ClaimRecord& record) {
  const std::string text = DumpJson(RecordToJson(record));
  // With a page there is always a newline after the text.
  if (text.size() < sys::kPageBytes) return sys::WritePage(PathOf(record.facts.uid), text);
  return sys::ReplaceFileDurably(PathOf(record.facts.uid), text + "\n");
}

absl::Status ClaimJournal::Remove(const std::string& uid) {
  return sys::RemoveFile(PathOf(uid), sys::Durability::kProcessCrash);
}

absl::StatusOr<std::vector<ClaimRecord>> ClaimJournal::Load() {
  ASHLAR_RETURN_IF_ERROR(sys::EnsureDirectory(directory_, 0700));
  ASHLAR_ASSIGN_OR_RETURN(const std::vector<std::string> names, sys::ListDirectory(directory_));
  std::vector<ClaimRecord> records;
  for (const std::string& name : names) {
    if (!absl::EndsWith(name, ".json")) continue;
    const std::string path = absl::StrCat(directory_, "/", name);
    const absl::StatusOr<std::string> text = sys::ReadFile(path);
    if (text.ok() && text->find_first_not_of('\0') == std::string::npos) {
      // A process died, or the power went, before anything was written.
      ASHLAR_RETURN_IF_ERROR(sys::RemoveFile(path, sys::Durability::kProcessCrash));
      continue;
    }
    const absl::StatusOr<Json> json =
        text.ok() ? ParseJson(text->substr(0, text->find('\n'))) : text.status();
    absl::StatusOr<ClaimRecord> record = json.ok() ? ClaimRecordFromJson(*json) : json.status();
    if (record.ok() && PathOf(record->facts.uid) == path) {
      records.push_back(*std::move(record));
    } else {
      LogWarning("record of a claim that cannot be read",
                 {{"file", name}, {"error", record.status().ToString()}});
    }
  }
  return records;
}

}  // namespace ashlar::node_agent
