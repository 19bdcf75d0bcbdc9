// How a drive of a Partition pool is laid out. Pure; thread-safe.
//
//   GPT of the pool | metadata, 2 MiB | volumes and room ... | copy of the GPT
//
// GUID of the table: its first half is made from the pool's uid, its second from the drive's id, so
// that the drive is known again whatever the kernel calls it. GUID of a volume's partition: made
// from the pool's uid and the volume's id. Type of a partition: metadata, volume, or unfinished.
//
// A name in a GPT is too short for what describes a volume. The metadata partition has it, in two
// copies of 256 blocks of 4 KiB each; each block is JSON with a checksum. Block 0 describes the
// drive; block N belongs to the partition of number N and counts only if it names its GUID. It is
// written before the partition, so that nothing has to be changed in two places at once.
//
// "cleanBytes" of block 0: where no partition is, bytes before this offset read as zero; beyond it
// they are what was there when the drive was taken. Room is always taken from the beginning of a
// gap, so one number tells it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/base/json.h"
#include "lib/system/partition_table.h"

namespace ashlar::node_agent {

constexpr char kMetadataType[] = "a5b1a200-4d65-4e74-8a4d-6574616461f1";
constexpr char kVolumeType[] = "a5b1a200-566f-4c75-8d65-4f6620617368";
// Being made, grown into, or wiped: belongs to nobody.
constexpr char kUnfinishedType[] = "a5b1a200-556e-4669-8e69-7368656450e7";

constexpr int64_t kMetadataBytes = int64_t{2} << 20;
constexpr int64_t kMetadataCopyBytes = int64_t{1} << 20;
constexpr size_t kBlockBytes = 4096;
constexpr uint32_t kMetadataNumber = 1;

std::string TableGuid(const std::string& pool_uid, const std::string& drive_id);
bool IsTableOf(const std::string& table_guid, const std::string& pool_uid);
std::string VolumeGuid(const std::string& pool_uid, const std::string& id);

// A multiple of 1 MiB that partitions begin at: of the drive's optimal I/O size too if that is
// sensible.
int64_t Grain(int64_t optimal_io_bytes);

struct Extent {
  int64_t start_bytes = 0;
  int64_t size_bytes = 0;  // a multiple of 1 MiB
  bool operator==(const Extent&) const = default;
};
// Where partitions could be made, in the order of the drive.
std::vector<Extent> FreeExtents(const sys::PartitionTable& table, int64_t grain);
// By how much the partition could grow where it is.
int64_t RoomAfter(const sys::PartitionTable& table, const sys::Partition& partition);
// 0: all are taken.
uint32_t FreeNumber(const sys::PartitionTable& table);

// OutOfRange: more than fits.
absl::StatusOr<std::string> EncodeBlock(const Json& json);
// DataLoss: it is none, or was damaged.
absl::StatusOr<Json> DecodeBlock(absl::string_view block);

}  // namespace ashlar::node_agent
