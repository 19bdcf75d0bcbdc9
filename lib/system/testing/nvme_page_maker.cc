#include "lib/system/testing/nvme_page_maker.h"

#include "absl/strings/escaping.h"
#include "absl/strings/str_replace.h"

namespace ashlar::sys {
namespace {

void Put(std::string& page, size_t at, uint64_t value, size_t bytes) {
  for (size_t i = 0; i < bytes; ++i) page[at + i] = static_cast<char>(value >> (8 * i));
}

void PutText(std::string& page, size_t at, size_t bytes, const std::string& text) {
  std::string padded = text;
  padded.resize(bytes, ' ');
  page.replace(at, bytes, padded);
}

void PutHex(std::string& page, size_t at, const std::string& hex) {
  const std::string bytes = absl::HexStringToBytes(hex);
  page.replace(at, bytes.size(), bytes);
}

}  // namespace

std::string MakeNvmePage(const NvmeController& controller) {
  std::string page(kNvmeIdentifyBytes, '\0');
  PutText(page, 4, 20, controller.serial);
  PutText(page, 24, 40, controller.model);
  PutText(page, 64, 8, controller.firmware);
  Put(page, 78, controller.id, 2);
  Put(page, 256, (controller.format ? 2 : 0) | (controller.namespace_management ? 8 : 0), 2);
  Put(page, 280, static_cast<uint64_t>(controller.capacity_bytes), 8);
  Put(page, 296, static_cast<uint64_t>(controller.unallocated_bytes), 8);
  Put(page, 328,
      (controller.sanitize_crypto_erase ? 1 : 0) | (controller.sanitize_block_erase ? 2 : 0) |
          (controller.sanitize_overwrite ? 4 : 0),
      4);
  Put(page, 516, controller.max_namespaces, 4);
  Put(page, 524, controller.format_crypto_erase ? 4 : 0, 1);
  page.replace(768, controller.subsystem_nqn.size(), controller.subsystem_nqn);
  return page;
}

std::string MakeNvmePage(const NvmeNamespace& space) {
  std::string page(kNvmeIdentifyBytes, '\0');
  Put(page, 0, static_cast<uint64_t>(space.size_blocks), 8);
  PutHex(page, 104, space.nguid);
  PutHex(page, 120, space.eui64);
  for (const LbaFormat& format : space.lba_formats) {
    Put(page, 25, format.index, 1);
    if (format.in_use) Put(page, 26, (format.index & 0xf) | (format.index >> 4 & 3) << 5, 1);
    uint64_t shift = 0;
    while (int32_t{1} << shift < format.data_bytes) ++shift;
    Put(page, 128 + 4 * size_t{format.index},
        static_cast<uint64_t>(format.metadata_bytes) | shift << 16 |
            uint64_t{format.relative_performance} << 24,
        4);
  }
  return page;
}

std::string MakeNvmePage(const NvmeNamespaceIds& ids) {
  std::string page(kNvmeIdentifyBytes, '\0');
  size_t at = 0;
  const auto add = [&](uint64_t type, const std::string& hex) {
    if (hex.empty()) return;
    Put(page, at, type, 1);
    Put(page, at + 1, hex.size() / 2, 1);
    PutHex(page, at + 4, hex);
    at += 4 + hex.size() / 2;
  };
  add(1, ids.eui64);
  add(4, "00");  // the command set, which is no identifier
  add(2, ids.nguid);
  add(3, absl::StrReplaceAll(ids.uuid, {{"-", ""}}));
  return page;
}

std::string MakeNvmePage(const NvmeHealth& health) {
  std::string page(kNvmeHealthBytes, '\0');
  Put(page, 0, health.critical_warnings, 1);
  Put(page, 1, static_cast<uint64_t>(health.temperature_celsius) + 273, 2);
  Put(page, 3, static_cast<uint64_t>(health.available_spare_percent), 1);
  Put(page, 4, static_cast<uint64_t>(health.spare_threshold_percent), 1);
  Put(page, 5, static_cast<uint64_t>(health.used_percent), 1);
  Put(page, 160, static_cast<uint64_t>(health.media_errors), 8);
  return page;
}

}  // namespace ashlar::sys
