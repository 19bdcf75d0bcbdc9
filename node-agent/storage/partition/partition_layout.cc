#include "node-agent/storage/partition/partition_layout.h"

#include <algorithm>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "lib/base/fnv.h"
#include "node-agent/storage/pool_types.h"

namespace ashlar::node_agent {
namespace {

constexpr absl::string_view kMagic = "ashlar-block-1 ";
constexpr size_t kHeaderBytes = 15 + 16 + 1 + 8 + 1;  // magic, checksum, length
constexpr int64_t kLargestGrain = 64 * kMiB;
constexpr size_t kHalfGuid = 18;  // "xxxxxxxx-xxxx-8xxx"

int64_t RoundUp(int64_t value, int64_t unit) { return (value + unit - 1) / unit * unit; }

}  // namespace

std::string TableGuid(const std::string& pool_uid, const std::string& drive_id) {
  return FilesystemUuid(absl::StrCat("partitions of ", pool_uid)).substr(0, kHalfGuid) +
         FilesystemUuid(absl::StrCat("drive ", drive_id)).substr(kHalfGuid);
}

bool IsTableOf(const std::string& table_guid, const std::string& pool_uid) {
  return table_guid.substr(0, kHalfGuid) == TableGuid(pool_uid, "").substr(0, kHalfGuid);
}

std::string VolumeGuid(const std::string& pool_uid, const std::string& id) {
  return FilesystemUuid(absl::StrCat("volume ", pool_uid, " ", id));
}

int64_t Grain(int64_t optimal_io_bytes) {
  if (optimal_io_bytes <= 0) return kMiB;
  const int64_t both = std::lcm(kMiB, optimal_io_bytes);
  return both <= kLargestGrain ? both : kMiB;
}

std::vector<Extent> FreeExtents(const sys::PartitionTable& table, int64_t grain) {
  std::vector<Extent> extents;
  int64_t at = table.begin_bytes;
  const auto add = [&](int64_t end) {
    const int64_t start = RoundUp(at, grain);
    const int64_t size = (end - start) / kMiB * kMiB;
    if (size > 0) extents.push_back({start, size});
  };
  for (const sys::Partition& partition : table.partitions) {
    add(partition.start_bytes);
    at = std::max(at, partition.end_bytes());
  }
  add(table.end_bytes);
  return extents;
}

int64_t RoomAfter(const sys::PartitionTable& table, const sys::Partition& partition) {
  int64_t end = table.end_bytes;
  for (const sys::Partition& other : table.partitions)
    if (other.start_bytes > partition.start_bytes) end = std::min(end, other.start_bytes);
  return std::max<int64_t>(0, end - partition.end_bytes()) / kMiB * kMiB;
}

uint32_t FreeNumber(const sys::PartitionTable& table) {
  const auto blocks = static_cast<uint32_t>(kMetadataCopyBytes / int64_t{kBlockBytes});
  for (uint32_t number = kMetadataNumber + 1; number <= std::min(table.slots, blocks - 1); ++number)
    if (std::none_of(table.partitions.begin(), table.partitions.end(),
                     [&](const sys::Partition& taken) { return taken.number == number; }))
      return number;
  return 0;
}

absl::StatusOr<std::string> EncodeBlock(const Json& json) {
  const std::string text = DumpJson(json);
  if (text.size() > kBlockBytes - kHeaderBytes)
    return absl::OutOfRangeError(absl::StrCat("a block of ", text.size(), " bytes of JSON"));
  std::string block = absl::StrFormat("%s%016x %08x\n%s", kMagic, Fnv1a(text), text.size(), text);
  block.resize(kBlockBytes, '\n');
  return block;
}

absl::StatusOr<Json> DecodeBlock(absl::string_view block) {
  const auto damaged = [] { return absl::DataLossError("no block of metadata, or a damaged one"); };
  if (block.size() != kBlockBytes) return damaged();
  const size_t size = std::strtoul(std::string(block.substr(32, 8)).c_str(), nullptr, 16);
  if (size > kBlockBytes - kHeaderBytes) return damaged();
  const absl::string_view text = block.substr(kHeaderBytes, size);
  if (block.substr(0, kHeaderBytes) != absl::StrFormat("%s%016x %08x\n", kMagic, Fnv1a(text), size))
    return damaged();
  return ParseJson(text);
}

}  // namespace ashlar::node_agent
