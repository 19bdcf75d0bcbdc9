#include "lib/system/nvme_namespace_pages.h"

#include <algorithm>
#include <limits>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "lib/base/status_macros.h"

namespace ashlar::sys {
namespace {

// Little-endian, of up to 8 bytes.
uint64_t Number(absl::string_view page, size_t at, size_t bytes) {
  uint64_t value = 0;
  for (size_t i = bytes; i-- > 0;) value = value << 8 | static_cast<uint8_t>(page[at + i]);
  return value;
}

void Put(std::string& page, size_t at, uint64_t value, size_t bytes) {
  for (size_t i = 0; i < bytes; ++i) page[at + i] = static_cast<char>(value >> (8 * i));
}

absl::Status CheckSize(absl::string_view what, absl::string_view page) {
  if (page.size() >= kNvmeIdentifyBytes) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(what, " has ", page.size(), " bytes, not ", kNvmeIdentifyBytes));
}

}  // namespace

absl::StatusOr<NvmeManagement> ParseNvmeManagement(absl::string_view page) {
  NvmeManagement management;
  ASHLAR_ASSIGN_OR_RETURN(management.controller, ParseNvmeController(page));
  management.several_controllers = (Number(page, 76, 1) & 2) != 0;
  management.tells_granularity = (Number(page, 96, 4) & (1 << 7)) != 0;
  management.max_namespaces = static_cast<uint32_t>(Number(page, 540, 4));
  if (management.max_namespaces == 0)
    management.max_namespaces = management.controller.max_namespaces;
  // FNA: formatting, and secure erasing, may be of all namespaces at once.
  management.erases_one_namespace =
      management.controller.format_crypto_erase && (Number(page, 524, 1) & 3) == 0;
  return management;
}

absl::StatusOr<NvmeAllocatedNamespace> ParseNvmeAllocatedNamespace(absl::string_view page) {
  NvmeAllocatedNamespace allocated;
  ASHLAR_ASSIGN_OR_RETURN(allocated.space, ParseNvmeNamespace(page));
  allocated.shared = (Number(page, 30, 1) & 1) != 0;
  return allocated;
}

absl::StatusOr<std::vector<uint32_t>> ParseNvmeNamespaceList(absl::string_view page) {
  ASHLAR_RETURN_IF_ERROR(CheckSize("namespace list", page));
  std::vector<uint32_t> ids;
  for (size_t i = 0; i < kNvmeNamespaceListEntries; ++i) {
    const auto id = static_cast<uint32_t>(Number(page, 4 * i, 4));
    if (id == 0) break;
    ids.push_back(id);
  }
  return ids;
}

absl::StatusOr<std::vector<uint16_t>> ParseNvmeControllerList(absl::string_view page) {
  ASHLAR_RETURN_IF_ERROR(CheckSize("controller list", page));
  const uint64_t count = Number(page, 0, 2);
  if (count > kNvmeControllerListEntries)
    return absl::InvalidArgumentError(
        absl::StrCat("controller list of ", count, " entries, more than fit"));
  std::vector<uint16_t> ids;
  for (size_t i = 1; i <= count; ++i) ids.push_back(static_cast<uint16_t>(Number(page, 2 * i, 2)));
  return ids;
}

std::string MakeNvmeControllerList(const std::vector<uint16_t>& controllers) {
  std::string page(kNvmeIdentifyBytes, '\0');
  const size_t count = std::min(controllers.size(), kNvmeControllerListEntries);
  Put(page, 0, count, 2);
  for (size_t i = 0; i < count; ++i) Put(page, 2 * (i + 1), controllers[i], 2);
  return page;
}

std::string MakeNvmeNewNamespace(const NvmeNewNamespace& space) {
  std::string page(kNvmeIdentifyBytes, '\0');
  Put(page, 0, static_cast<uint64_t>(space.size_blocks), 8);
  Put(page, 8, static_cast<uint64_t>(space.size_blocks), 8);
  Put(page, 26, (space.format & 0xf) | (space.format >> 4 & 3) << 5, 1);
  Put(page, 30, space.shared ? 1 : 0, 1);
  return page;
}

absl::StatusOr<NvmeNewNamespace> ParseNvmeNewNamespace(absl::string_view page) {
  ASHLAR_RETURN_IF_ERROR(CheckSize("data of a create command", page));
  const uint64_t blocks = Number(page, 0, 8);
  if (blocks == 0 || blocks > std::numeric_limits<int64_t>::max() || blocks != Number(page, 8, 8))
    return absl::InvalidArgumentError("size and capacity of a new namespace must be alike");
  const uint64_t flbas = Number(page, 26, 1);
  return NvmeNewNamespace{static_cast<int64_t>(blocks),
                          static_cast<uint8_t>((flbas & 0xf) | (flbas >> 5 & 3) << 4),
                          (Number(page, 30, 1) & 1) != 0};
}

absl::StatusOr<int64_t> ParseNvmeGranularity(absl::string_view page, uint8_t format) {
  ASHLAR_RETURN_IF_ERROR(CheckSize("namespace granularity list", page));
  const bool one_per_format = (Number(page, 0, 4) & 1) != 0;
  const uint64_t last = Number(page, 4, 1);
  const uint64_t index = one_per_format ? format : 0;
  if (index > std::min<uint64_t>(last, 15)) return 0;
  const uint64_t size = Number(page, 32 + 16 * index, 8),
                 capacity = Number(page, 40 + 16 * index, 8);
  constexpr uint64_t kMost = uint64_t{1} << 40;  // more is no granularity
  if (size > kMost || capacity > kMost) return 0;
  if (size == 0 || capacity == 0) return static_cast<int64_t>(std::max(size, capacity));
  const uint64_t both = std::lcm(size, capacity);
  return both > kMost ? 0 : static_cast<int64_t>(both);
}

}  // namespace ashlar::sys
