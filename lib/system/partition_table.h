// GUID partition tables, by libfdisk; and the partitions that the kernel knows of, which are told
// to it one by one (BLKPG), so that others of the drive may be in use. Thread-safe for different
// drives; changes of one drive must not overlap.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace ashlar::sys {

struct Partition {
  uint32_t number = 0;  // from 1 on
  int64_t start_bytes = 0;
  int64_t size_bytes = 0;
  std::string type;  // GUIDs in lower case
  std::string uuid;
  std::string name;  // at most 36 UTF-16 units
  int64_t end_bytes() const { return start_bytes + size_bytes; }
  bool operator==(const Partition&) const = default;
};

struct PartitionTable {
  std::string uuid;
  int64_t begin_bytes = 0, end_bytes = 0;  // partitions may lie in between
  uint32_t slots = 0;                      // the largest number
  std::vector<Partition> partitions;       // sorted by start
};

// FailedPrecondition: the drive has no GPT. A damaged copy of it is ignored if the other is whole.
absl::StatusOr<PartitionTable> ReadPartitionTable(const std::string& device);

// Writes a new GPT. FailedPrecondition: the drive is in use. Each write is on the medium before the
// next, the protective MBR last: until then libfdisk and the kernel see no table.
absl::Status MakePartitionTable(const std::string& device, const std::string& uuid,
                                const std::vector<Partition>& partitions);

// Makes the table's partitions of the numbers of `partitions` those; one of size 0 goes. All of it
// or nothing is on the medium, whatever interrupts the call: the second copy of the table is whole
// before the first is touched. The kernel is not told.
absl::Status EditPartitionTable(const std::string& device,
                                const std::vector<Partition>& partitions);

// Zeroes both copies of the table and all between the first and `begin_bytes`.
// FailedPrecondition: the drive is in use.
absl::Status ErasePartitionTable(const std::string& device, int64_t begin_bytes);

struct KernelPartition {
  uint32_t number = 0;
  int64_t start_bytes = 0;
  int64_t size_bytes = 0;
  std::string device;  // /dev/nvme0n1p3
};
absl::StatusOr<std::vector<KernelPartition>> ListKernelPartitions(const std::string& device);

// Tells the kernel what it does not know of `partitions`, and to forget others; which are as they
// should be stay untouched. FailedPrecondition: one that should go or move is in use; the others
// are done.
absl::Status SyncKernelPartitions(const std::string& device,
                                  const std::vector<Partition>& partitions);

}  // namespace ashlar::sys
