#include "lib/system/record_folder.h"

#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "lib/base/log.h"
#include "lib/base/status_macros.h"
#include "lib/system/files.h"

namespace ashlar::sys {

std::string RecordFolder::PathOf(absl::string_view stem) const {
  return absl::StrCat(directory_, "/", stem, ".json");
}

absl::Status RecordFolder::Save(absl::string_view stem, const Json& record) {
  const std::string text = DumpJson(record);
  // With a page there is always a newline after the text.
  if (text.size() < kPageBytes) return WritePage(PathOf(stem), text);
  return ReplaceFileDurably(PathOf(stem), text + "\n");
}

absl::Status RecordFolder::Remove(absl::string_view stem) {
  return RemoveFile(PathOf(stem), Durability::kProcessCrash);
}

absl::Status RecordFolder::Load(Read read) {
  ASHLAR_RETURN_IF_ERROR(EnsureDirectory(directory_, 0700));
  ASHLAR_ASSIGN_OR_RETURN(const std::vector<std::string> names, ListDirectory(directory_));
  for (const std::string& name : names) {
    absl::string_view stem = name;
    if (!absl::ConsumeSuffix(&stem, ".json")) continue;
    const absl::StatusOr<std::string> text = ReadFile(PathOf(stem));
    if (text.ok() && text->find_first_not_of('\0') == std::string::npos) {
      // A process died, or the power went, before anything was written.
      ASHLAR_RETURN_IF_ERROR(Remove(stem));
      continue;
    }
    const absl::StatusOr<Json> json =
        text.ok() ? ParseJson(text->substr(0, text->find('\n'))) : text.status();
    const absl::Status taken = json.ok() ? read(std::string(stem), *json) : json.status();
    if (!taken.ok())
      LogWarning("record that cannot be read",
                 {{"file", PathOf(stem)}, {"error", taken.ToString()}});
  }
  return absl::OkStatus();
}

}  // namespace ashlar::sys
