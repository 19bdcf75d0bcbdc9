#include "lib/system/nvme_pages.h"

#include <algorithm>
#include <limits>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "lib/base/status_macros.h"

namespace ashlar::sys {
namespace {

constexpr int kKelvin = 273;

absl::Status CheckPage(absl::string_view what, absl::string_view page, size_t bytes) {
  if (page.size() < bytes)
    return absl::InvalidArgumentError(
        absl::StrCat(what, " has ", page.size(), " bytes, not ", bytes));
  if (page.substr(0, bytes).find_first_not_of('\0') == absl::string_view::npos)
    return absl::InvalidArgumentError(absl::StrCat(what, " is empty"));
  return absl::OkStatus();
}

// Little-endian, of up to 8 bytes.
uint64_t Number(absl::string_view page, size_t at, size_t bytes) {
  uint64_t value = 0;
  for (size_t i = bytes; i-- > 0;) value = value << 8 | static_cast<uint8_t>(page[at + i]);
  return value;
}

int64_t Clamp(uint64_t value) {
  return static_cast<int64_t>(
      std::min(value, static_cast<uint64_t>(std::numeric_limits<int64_t>::max())));
}

// 16 bytes; more than fits is the largest that does.
int64_t LongNumber(absl::string_view page, size_t at) {
  return Number(page, at + 8, 8) != 0 ? std::numeric_limits<int64_t>::max()
                                      : Clamp(Number(page, at, 8));
}

std::string Text(absl::string_view page, size_t at, size_t bytes) {
  const absl::string_view field = page.substr(at, bytes);
  return std::string(absl::StripAsciiWhitespace(field.substr(0, field.find('\0'))));
}

bool Bit(absl::string_view page, size_t at, int bit) {
  return (static_cast<uint8_t>(page[at]) >> bit & 1) != 0;
}

// Hex digits of an identifier, or "" if it is all zero.
std::string Hex(absl::string_view bytes) {
  if (bytes.find_first_not_of('\0') == absl::string_view::npos) return "";
  return absl::BytesToHexString(bytes);
}

std::string Uuid(absl::string_view bytes) {
  const std::string hex = Hex(bytes);
  if (hex.empty()) return "";
  const absl::string_view h = hex;
  return absl::StrCat(h.substr(0, 8), "-", h.substr(8, 4), "-", h.substr(12, 4), "-",
                      h.substr(16, 4), "-", h.substr(20));
}

}  // namespace

absl::StatusOr<NvmeController> ParseNvmeController(absl::string_view page) {
  ASHLAR_RETURN_IF_ERROR(CheckPage("Identify Controller", page, kNvmeIdentifyBytes));
  NvmeController controller;
  controller.serial = Text(page, 4, 20);
  controller.model = Text(page, 24, 40);
  controller.firmware = Text(page, 64, 8);
  controller.id = static_cast<uint16_t>(Number(page, 78, 2));
  controller.format = Bit(page, 256, 1);
  controller.namespace_management = Bit(page, 256, 3);
  controller.capacity_bytes = LongNumber(page, 280);
  controller.unallocated_bytes = LongNumber(page, 296);
  controller.sanitize_crypto_erase = Bit(page, 328, 0);
  controller.sanitize_block_erase = Bit(page, 328, 1);
  controller.sanitize_overwrite = Bit(page, 328, 2);
  controller.max_namespaces = static_cast<uint32_t>(Number(page, 516, 4));
  controller.format_crypto_erase = controller.format && Bit(page, 524, 2);
  controller.subsystem_nqn = Text(page, 768, 256);
  return controller;
}

absl::StatusOr<NvmeNamespace> ParseNvmeNamespace(absl::string_view page) {
  ASHLAR_RETURN_IF_ERROR(CheckPage("Identify Namespace", page, kNvmeIdentifyBytes));
  NvmeNamespace space;
  space.size_blocks = Clamp(Number(page, 0, 8));
  space.nguid = Hex(page.substr(104, 16));
  space.eui64 = Hex(page.substr(120, 8));
  // NLBAF counts from 0; bits 5 and 6 of FLBAS count only where there are more than 16 formats.
  const size_t formats = std::min<size_t>(Number(page, 25, 1) + 1, 64);
  const auto flbas = static_cast<size_t>(Number(page, 26, 1));
  const size_t used = (flbas & 0xf) | (formats > 16 ? (flbas >> 5 & 3) << 4 : 0);
  for (size_t i = 0; i < formats; ++i) {
    const uint64_t format = Number(page, 128 + 4 * i, 4);
    const uint64_t shift = format >> 16 & 0xff;
    if (shift < 9 || shift > 30) continue;  // not available
    space.lba_formats.push_back({static_cast<uint8_t>(i), int32_t{1} << shift,
                                 static_cast<int32_t>(format & 0xffff),
                                 static_cast<uint8_t>(format >> 24 & 3), i == used});
  }
  return space;
}

absl::StatusOr<NvmeNamespaceIds> ParseNvmeNamespaceIds(absl::string_view page) {
  ASHLAR_RETURN_IF_ERROR(
      CheckPage("Namespace Identification Descriptors", page, kNvmeIdentifyBytes));
  NvmeNamespaceIds ids;
  page = page.substr(0, kNvmeIdentifyBytes);
  while (page.size() >= 4) {
    const uint64_t type = Number(page, 0, 1), bytes = Number(page, 1, 1);
    if (bytes == 0 || page.size() < 4 + bytes) break;  // the end of the list
    const absl::string_view id = page.substr(4, bytes);
    if (type == 1 && bytes == 8) ids.eui64 = Hex(id);
    if (type == 2 && bytes == 16) ids.nguid = Hex(id);
    if (type == 3 && bytes == 16) ids.uuid = Uuid(id);
    page.remove_prefix(4 + bytes);
  }
  return ids;
}

absl::StatusOr<NvmeHealth> ParseNvmeHealth(absl::string_view page) {
  ASHLAR_RETURN_IF_ERROR(CheckPage("SMART log", page, kNvmeHealthBytes));
  NvmeHealth health;
  health.critical_warnings = static_cast<uint8_t>(page[0]);
  const auto kelvin = static_cast<int32_t>(Number(page, 1, 2));
  health.temperature_celsius = kelvin == 0 ? 0 : kelvin - kKelvin;
  health.available_spare_percent = static_cast<int32_t>(Number(page, 3, 1));
  health.spare_threshold_percent = static_cast<int32_t>(Number(page, 4, 1));
  health.used_percent = static_cast<int32_t>(Number(page, 5, 1));
  health.media_errors = LongNumber(page, 160);
  return health;
}

}  // namespace ashlar::sys
