#include "node-agent/volume/journal.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "lib/base/log.h"
#include "lib/base/status_macros.h"
#include "lib/system/files.h"

namespace ashlar::node_agent {

std::string FileJournal::PathOf(const std::string& volume_id) const {
  return absl::StrCat(directory_, "/", FileStem(volume_id), ".json");
}

absl::Status FileJournal::Save(const VolumeRecord& record) {
  const std::string text = DumpJson(RecordToJson(record));
  // With a page there is always a newline after the text.
  if (text.size() < sys::kPageBytes) return sys::WritePage(PathOf(record.facts.id), text);
  return sys::ReplaceFileDurably(PathOf(record.facts.id), text + "\n");
}

absl::Status FileJournal::Remove(const std::string& volume_id) {
  return sys::RemoveFile(PathOf(volume_id), sys::Durability::kProcessCrash);
}

absl::StatusOr<std::vector<VolumeRecord>> FileJournal::Load() {
  ASHLAR_RETURN_IF_ERROR(sys::EnsureDirectory(directory_, 0700));
  ASHLAR_ASSIGN_OR_RETURN(const std::vector<std::string> names, sys::ListDirectory(directory_));
  std::vector<VolumeRecord> records;
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
    absl::StatusOr<VolumeRecord> record = json.ok() ? RecordFromJson(*json) : json.status();
    if (record.ok()) {
      records.push_back(*std::move(record));
    } else {
      LogWarning("record of a volume that cannot be read",
                 {{"file", name}, {"error", record.status().ToString()}});
    }
  }
  return records;
}

}  // namespace ashlar::node_agent
