#include "lib/system/mount_info.h"

#include <algorithm>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "lib/base/status_macros.h"

namespace ashlar::sys {
namespace {

// The kernel writes space, tab, newline, backslash and # as \ooo.
std::string Unescape(absl::string_view text) {
  const auto octal = [](char c) { return c >= '0' && c <= '7'; };
  std::string plain;
  plain.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 3 < text.size() && octal(text[i + 1]) && octal(text[i + 2]) &&
        octal(text[i + 3])) {
      plain.push_back(static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 +
                                        (text[i + 3] - '0')));
      i += 3;
    } else {
      plain.push_back(text[i]);
    }
  }
  return plain;
}

absl::StatusOr<MountEntry> ParseLine(absl::string_view line) {
  const auto malformed = [&] {
    return absl::InvalidArgumentError(absl::StrCat("not a line of mountinfo: ", line));
  };
  const std::vector<absl::string_view> fields = absl::StrSplit(line, ' ');
  const auto dash = std::find(fields.begin(), fields.end(), absl::string_view("-"));
  if (dash - fields.begin() < 6 || fields.end() - dash < 3) return malformed();
  const std::vector<absl::string_view> device = absl::StrSplit(fields[2], ':');
  MountEntry entry;
  if (!absl::SimpleAtoi(fields[0], &entry.id) || device.size() != 2 ||
      !absl::SimpleAtoi(device[0], &entry.major) || !absl::SimpleAtoi(device[1], &entry.minor))
    return malformed();
  entry.root = Unescape(fields[3]);
  entry.mount_point = Unescape(fields[4]);
  entry.options = std::string(fields[5]);
  entry.fs_type = Unescape(dash[1]);
  entry.source = Unescape(dash[2]);
  if (fields.end() - dash > 3) entry.super_options = std::string(dash[3]);
  return entry;
}

}  // namespace

bool MountEntry::read_only() const {
  for (const absl::string_view option : absl::StrSplit(options, ','))
    if (option == "ro") return true;
  return false;
}

absl::StatusOr<std::vector<MountEntry>> ParseMountInfo(absl::string_view text) {
  std::vector<MountEntry> entries;
  for (const absl::string_view line : absl::StrSplit(text, '\n', absl::SkipEmpty())) {
    ASHLAR_ASSIGN_OR_RETURN(MountEntry entry, ParseLine(line));
    entries.push_back(std::move(entry));
  }
  return entries;
}

}  // namespace ashlar::sys
