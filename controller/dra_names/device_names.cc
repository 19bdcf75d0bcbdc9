#include "controller/dra_names/device_names.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "lib/base/fnv.h"

namespace ashlar::controller {
namespace {

constexpr size_t kMostCharacters = 63;
constexpr size_t kUuidHead = 13;  // two groups of hexadecimal digits, 48 bits

std::string Hash(absl::string_view text) {
  return absl::StrCat(absl::Hex(Fnv1a(text), absl::kZeroPad16));
}

bool IsLabel(absl::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) {
    return absl::ascii_islower(c) || absl::ascii_isdigit(c) || c == '-';
  });
}

// What of its UUID tells a GPU from all others.
std::string UuidHead(absl::string_view uuid) {
  std::string lower = absl::AsciiStrToLower(uuid);
  if (absl::StartsWith(lower, "gpu-") && lower.size() == 40 && IsLabel(lower))
    return lower.substr(4, kUuidHead);
  return Hash(uuid);
}

// A text in quotes, as CEL reads it.
std::string Quoted(absl::string_view text) {
  return absl::StrCat("\"", absl::StrReplaceAll(text, {{"\\", "\\\\"}, {"\"", "\\\""}}), "\"");
}

std::string Attribute(absl::string_view name) {
  return absl::StrCat("device.attributes[\"", kGpuDriver, "\"].", name);
}

std::string OfType(absl::string_view type) {
  return absl::StrCat("device.driver == \"", kGpuDriver, "\" && ", Attribute(kTypeAttribute),
                      " == \"", type, "\"");
}

}  // namespace

std::string GpuDeviceName(absl::string_view gpu_uuid) {
  return absl::StrCat("gpu-", UuidHead(gpu_uuid));
}

std::string GpuPartDeviceName(absl::string_view gpu_uuid, absl::string_view profile, int start,
                              int size) {
  const std::string head = absl::StrCat("mig-", UuidHead(gpu_uuid), "-");
  const std::string tail = absl::StrCat("-", start, "-", size);
  std::string middle = absl::StrReplaceAll(profile, {{".", "-"}, {"+", "-plus-"}, {"-", "-no-"}});
  // A kind of profile that nobody knows yet.
  if (middle.empty() || !IsLabel(middle) ||
      head.size() + middle.size() + tail.size() > kMostCharacters)
    middle = Hash(profile);
  return absl::StrCat(head, middle, tail);
}

std::string SelectGpu(absl::string_view gpu_uuid) {
  return absl::StrCat(OfType(kWholeGpuType), " && ", Attribute(kUuidAttribute),
                      " == ", Quoted(gpu_uuid));
}

std::string SelectGpuPart(absl::string_view gpu_uuid, absl::string_view profile, int start,
                          int size) {
  return absl::StrCat(OfType(kGpuPartType), " && ", Attribute(kParentAttribute),
                      " == ", Quoted(gpu_uuid), " && ", Attribute(kProfileAttribute),
                      " == ", Quoted(profile), " && ", Attribute(kPlacementStartAttribute),
                      " == ", start, " && ", Attribute(kPlacementSizeAttribute), " == ", size);
}

}  // namespace ashlar::controller
