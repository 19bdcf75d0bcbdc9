#include "controller/dra_names/drive_names.h"

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "lib/base/fnv.h"

namespace ashlar::controller {

std::string DriveDeviceName(absl::string_view drive_id) {
  constexpr size_t kReadable = 32;
  std::string readable;
  for (const char c : drive_id) {
    if (absl::ascii_isalnum(c)) readable.push_back(absl::ascii_tolower(c));
    if (readable.size() == kReadable) break;
  }
  const std::string hash = absl::StrFormat("%016x", Fnv1a(drive_id));
  return absl::StrCat("drive-", readable, readable.empty() ? "" : "-", hash);
}

}  // namespace ashlar::controller
