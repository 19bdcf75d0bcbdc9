#include "controller/dra_names/drive_names.h"

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "lib/base/fnv.h"

namespace ashlar::controller {

namespace {

constexpr char kVolumePrefix[] = "volume-";

std::string Label(absl::string_view prefix, absl::string_view id) {
  constexpr size_t kReadable = 32;
  std::string readable;
  for (const char c : id) {
    if (absl::ascii_isalnum(c)) readable.push_back(absl::ascii_tolower(c));
    if (readable.size() == kReadable) break;
  }
  const std::string hash = absl::StrFormat("%016x", Fnv1a(id));
  return absl::StrCat(prefix, readable, readable.empty() ? "" : "-", hash);
}

}  // namespace

std::string DriveDeviceName(absl::string_view drive_id) { return Label("drive-", drive_id); }

std::string VolumeDeviceName(absl::string_view volume) { return Label(kVolumePrefix, volume); }

bool IsVolumeDevice(absl::string_view device) { return absl::StartsWith(device, kVolumePrefix); }

}  // namespace ashlar::controller
