#include "node-agent/storage/namespace/namespace_plan.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "lib/base/status_macros.h"
#include "node-agent/storage/room.h"

namespace ashlar::node_agent {
namespace {

int64_t Floor(int64_t bytes, int64_t grain) { return std::max<int64_t>(0, bytes) / grain * grain; }
int64_t Ceil(int64_t bytes, int64_t grain) { return (bytes + grain - 1) / grain * grain; }

// That there is too little for this size says nothing of smaller ones.
bool IsOfCapacity(sys::NvmeStatus status) {
  return (status & 0x7ff) == 0x115 || (status & 0x7ff) == 0x126;
}

std::string Refusals(const NamespacePool& pool) {
  std::string text;
  for (const PoolSubsystem& on : pool.subsystems) {
    if (!on.takes_volumes) continue;
    const NamespaceRefusal* refusal = pool.records.RefusalOf(on.subsystem, pool.now);
    if (refusal != nullptr)
      absl::StrAppend(&text, "; controller ", on.subsystem.serial,
                      " refused to create a namespace of ", refusal->size_bytes,
                      " bytes: ", sys::DescribeNvmeStatus(refusal->status));
    for (const auto& [nsid, look] : on.looks)
      if (!look.busy_reason.empty())
        absl::StrAppend(&text, "; namespace ", nsid, " of ", on.subsystem.serial, " ",
                        look.busy_reason);
  }
  return text;
}

// The least that is enough.
void Prefer(std::optional<NamespacePlace>& best, NamespacePlace place, int64_t& least,
            int64_t measure) {
  if (best && least <= measure) return;
  best = std::move(place);
  least = measure;
}

}  // namespace

int64_t NamespacePool::Creatable(const PoolSubsystem& on) const {
  const NvmeSubsystem& subsystem = on.subsystem;
  if (!on.takes_volumes || !subsystem.creates()) return 0;
  int64_t room = subsystem.unallocated_bytes;
  size_t count = subsystem.namespaces.size();
  for (const auto& [id, record] : records.all()) {
    if (record.nqn != subsystem.nqn || record.nsid != 0) continue;
    room -= record.size_bytes;  // promised, and not created yet
    ++count;
  }
  if (subsystem.max_namespaces > 0 && count >= subsystem.max_namespaces) return 0;
  if (const NamespaceRefusal* refusal = records.RefusalOf(subsystem, now)) {
    if (!IsOfCapacity(refusal->status)) return 0;
    room = std::min(room, refusal->size_bytes - 1);
  }
  return Floor(room, subsystem.granularity_bytes);
}

bool NamespacePool::IsFree(const PoolSubsystem& on, const NvmeNamespaceState& space) const {
  const auto look = on.looks.find(space.nsid);
  return on.takes_volumes && space.usable && look != on.looks.end() &&
         look->second.busy_reason.empty() && records.Of(on.subsystem, space) == nullptr;
}

int64_t NamespacePool::FreeBytes(const PoolSubsystem& on) const {
  int64_t free = Creatable(on);
  for (const NvmeNamespaceState& space : on.subsystem.namespaces)
    if (IsFree(on, space)) free += FloorMiB(space.size_bytes);
  return free;
}

int64_t NamespacePool::FreeBytes() const {
  int64_t free = 0;
  for (const PoolSubsystem& on : subsystems) free += FreeBytes(on);
  return free;
}

PoolUsage UsageOf(const NamespacePool& pool) {
  PoolUsage usage;
  const int64_t left = FloorMiB(pool.FreeBytes() - pool.reserve_bytes);
  for (const PoolSubsystem& on : pool.subsystems) {
    DriveUsage drive{on.subsystem.name()};
    drive.allocatable_bytes = FloorMiB(std::min(pool.FreeBytes(on), left));
    drive.largest_bytes = Floor(std::min(pool.Creatable(on), left), on.subsystem.granularity_bytes);
    for (const NvmeNamespaceState& space : on.subsystem.namespaces)
      if (const int64_t size = FloorMiB(space.size_bytes); pool.IsFree(on, space) && size <= left)
        drive.largest_bytes = std::max(drive.largest_bytes, size);
    for (const auto& [id, record] : pool.records.all())
      if (record.nqn == on.subsystem.nqn) drive.allocated_bytes += FloorMiB(record.size_bytes);
    drive.capacity_bytes = drive.allocated_bytes + drive.allocatable_bytes;
    usage.largest_bytes = std::max(usage.largest_bytes, drive.largest_bytes);
    usage.allocated_bytes += drive.allocated_bytes;
    if (on.takes_volumes) usage.drives.push_back(std::move(drive));
  }
  usage.allocatable_bytes = left;
  usage.capacity_bytes = usage.allocated_bytes + left;
  return usage;
}

absl::StatusOr<NamespacePlace> ChoosePlace(const NamespacePool& pool, int64_t size_bytes,
                                           const std::string& drive) {
  const PoolUsage usage = UsageOf(pool);
  if (!drive.empty()) ASHLAR_RETURN_IF_ERROR(FindDrive(usage, drive).status());
  const int64_t left = pool.FreeBytes() - pool.reserve_bytes;
  std::optional<NamespacePlace> created, prepared, tried;
  int64_t least_room = 0, least_size = 0, none = 0;
  for (const PoolSubsystem& on : pool.subsystems) {
    const NvmeSubsystem& subsystem = on.subsystem;
    if (!drive.empty() && drive != subsystem.name()) continue;
    const int64_t room = pool.Creatable(on), want = Ceil(size_bytes, subsystem.granularity_bytes);
    const NamespacePlace fresh{subsystem.nqn, subsystem.serial, 0, "", want};
    if (want <= room && want <= left) Prefer(created, fresh, least_room, room);
    if (on.takes_volumes && subsystem.creates() && subsystem.capacity_bytes == 0 &&
        pool.records.RefusalOf(subsystem, pool.now) == nullptr)
      Prefer(tried, fresh, none, 0);
    for (const NvmeNamespaceState& space : subsystem.namespaces)
      if (pool.IsFree(on, space) && space.size_bytes >= size_bytes &&
          FloorMiB(space.size_bytes) <= left)
        Prefer(prepared,
               {subsystem.nqn, subsystem.serial, space.nsid, space.identity, space.size_bytes},
               least_size, space.size_bytes);
  }
  if (created) return *created;
  if (prepared) return *prepared;
  if (tried) return *tried;
  const int64_t largest =
      drive.empty() ? usage.largest_bytes : FindDrive(usage, drive)->largest_bytes;
  return absl::ResourceExhaustedError(absl::StrCat(
      size_bytes, " bytes are wanted", drive.empty() ? "" : absl::StrCat(" on drive ", drive),
      ", the largest namespace that can be had has ", largest, Refusals(pool)));
}

}  // namespace ashlar::node_agent
