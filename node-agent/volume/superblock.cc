#include "node-agent/volume/superblock.h"

#include <limits>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

namespace ashlar::node_agent {
namespace {

uint64_t Little(absl::string_view bytes, size_t offset, size_t length) {
  uint64_t value = 0;
  for (size_t i = length; i-- > 0;)
    value = value << 8 | static_cast<unsigned char>(bytes[offset + i]);
  return value;
}

uint64_t Big(absl::string_view bytes, size_t offset, size_t length) {
  uint64_t value = 0;
  for (size_t i = 0; i < length; ++i)
    value = value << 8 | static_cast<unsigned char>(bytes[offset + i]);
  return value;
}

std::string Uuid(absl::string_view bytes) {
  const std::string hex = absl::BytesToHexString(bytes.substr(0, 16));
  return absl::StrCat(hex.substr(0, 8), "-", hex.substr(8, 4), "-", hex.substr(12, 4), "-",
                      hex.substr(16, 4), "-", hex.substr(20));
}

absl::StatusOr<int64_t> Product(uint64_t blocks, uint64_t block_bytes) {
  if (block_bytes == 0 || block_bytes > (1 << 16) ||
      blocks > static_cast<uint64_t>(std::numeric_limits<int64_t>::max()) / block_bytes)
    return absl::FailedPreconditionError("the superblock's size is impossible");
  return static_cast<int64_t>(blocks * block_bytes);
}

absl::StatusOr<SuperblockState> ParseExt4(absl::string_view head) {
  constexpr size_t kStart = 1024;
  constexpr uint64_t kValid = 1, kErrors = 2, kNeedsRecovery = 4, k64Bit = 0x80;
  if (Little(head, kStart + 0x38, 2) != 0xEF53)
    return absl::FailedPreconditionError("there is no ext4 filesystem");
  const uint64_t state = Little(head, kStart + 0x3A, 2);
  const uint64_t incompatible = Little(head, kStart + 0x60, 4);
  const uint64_t log_block = Little(head, kStart + 0x18, 4);
  uint64_t blocks = Little(head, kStart + 0x4, 4);
  if ((incompatible & k64Bit) != 0) blocks |= Little(head, kStart + 0x150, 4) << 32;
  if (log_block > 6) return absl::FailedPreconditionError("the superblock's size is impossible");
  const absl::StatusOr<int64_t> size = Product(blocks, uint64_t{1024} << log_block);
  if (!size.ok()) return size.status();
  SuperblockState result;
  result.size_bytes = *size;
  result.uuid = Uuid(head.substr(kStart + 0x68, 16));
  result.needs_check =
      (state & kValid) == 0 || (state & kErrors) != 0 || (incompatible & kNeedsRecovery) != 0;
  return result;
}

absl::StatusOr<SuperblockState> ParseXfs(absl::string_view head) {
  if (head.substr(0, 4) != "XFSB")
    return absl::FailedPreconditionError("there is no xfs filesystem");
  const absl::StatusOr<int64_t> size = Product(Big(head, 8, 8), Big(head, 4, 4));
  if (!size.ok()) return size.status();
  // Mounting replays the log; xfs has no check that would run before.
  return SuperblockState{false, Uuid(head.substr(32, 16)), *size};
}

}  // namespace

absl::StatusOr<SuperblockState> ParseSuperblock(absl::string_view fs_type, absl::string_view head) {
  if (head.size() < kSuperblockBytes)
    return absl::FailedPreconditionError("the device is too short for a filesystem");
  if (fs_type == "ext4") return ParseExt4(head);
  if (fs_type == "xfs") return ParseXfs(head);
  return absl::InvalidArgumentError(absl::StrCat("filesystem type ", fs_type, " is unknown"));
}

}  // namespace ashlar::node_agent
