#include "node-agent/storage/partition/partition_backend.h"

#include <fcntl.h>

#include <algorithm>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "lib/base/log.h"
#include "lib/base/status_macros.h"
#include "lib/system/block_device.h"
#include "lib/system/exclusive_open.h"
#include "lib/system/files.h"
#include "lib/system/links.h"
#include "node-agent/storage/format_image.h"
#include "node-agent/storage/room.h"

namespace ashlar::node_agent {
namespace {

using sys::Durability;
using sys::Partition;
using sys::PartitionTable;

// How long udev, which looks at what changed, is waited for.
constexpr absl::Duration kOthersTime = absl::Seconds(3);
constexpr absl::Duration kPause = absl::Milliseconds(20);

// Repeats what fails because somebody has a device open for a moment, or takes it from the kernel
// and gives it back, as udev does.
absl::Status Insist(absl::FunctionRef<absl::Status()> attempt) {
  RealClock clock;
  const absl::Time until = clock.Now() + kOthersTime;
  for (;;) {
    const absl::Status status = attempt();
    const bool passing = absl::IsFailedPrecondition(status) || absl::IsNotFound(status);
    if (!passing || clock.Now() >= until) return status;
    ASHLAR_RETURN_IF_ERROR(SleepFor(clock, {}, kPause));
  }
}

absl::Status SyncKernel(const std::string& device, const PartitionTable& table) {
  return Insist([&] { return sys::SyncKernelPartitions(device, table.partitions); });
}

absl::StatusOr<std::string> NodeOf(const std::string& device, const Partition& partition) {
  ASHLAR_ASSIGN_OR_RETURN(const std::vector<sys::KernelPartition> known,
                          sys::ListKernelPartitions(device));
  for (const sys::KernelPartition& one : known)
    if (one.number == partition.number && one.start_bytes == partition.start_bytes &&
        one.size_bytes == partition.size_bytes && sys::Exists(one.device))
      return one.device;
  return absl::NotFoundError(
      absl::StrCat("the kernel does not show partition ", partition.number, " of ", device));
}

const Partition* FindGuid(const PartitionTable& table, const std::string& guid) {
  for (const Partition& partition : table.partitions)
    if (partition.uuid == guid) return &partition;
  return nullptr;
}

absl::StatusOr<int64_t> BlockOffset(const PartitionTable& table, uint32_t number) {
  for (const Partition& partition : table.partitions)
    if (partition.type == kMetadataType)
      return partition.start_bytes + static_cast<int64_t>(number * kBlockBytes);
  return absl::DataLossError("the drive has no partition for metadata");
}

// Both copies that are whole.
absl::StatusOr<std::vector<Json>> ReadBlocks(const std::string& device, const PartitionTable& table,
                                             uint32_t number) {
  ASHLAR_ASSIGN_OR_RETURN(const int64_t offset, BlockOffset(table, number));
  std::vector<Json> found;
  for (const int64_t copy : {int64_t{0}, kMetadataCopyBytes}) {
    const absl::StatusOr<std::string> block = sys::ReadAt(device, offset + copy, kBlockBytes);
    const absl::StatusOr<Json> json = block.ok() ? DecodeBlock(*block) : block.status();
    if (json.ok()) found.push_back(*json);
  }
  return found;
}

absl::Status WriteBlocks(const std::string& device, const PartitionTable& table, uint32_t number,
                         const Json& json) {
  ASHLAR_ASSIGN_OR_RETURN(const int64_t offset, BlockOffset(table, number));
  ASHLAR_ASSIGN_OR_RETURN(const std::string block, EncodeBlock(json));
  // One after the other: at any moment one copy is whole.
  ASHLAR_RETURN_IF_ERROR(sys::WriteAt(device, offset, block));
  return sys::WriteAt(device, offset + kMetadataCopyBytes, block);
}

int64_t CleanBytes(const std::string& device, const PartitionTable& table) {
  int64_t clean = 0;
  const absl::StatusOr<std::vector<Json>> blocks = ReadBlocks(device, table, 0);
  if (blocks.ok())
    for (const Json& json : *blocks) clean = std::max(clean, JsonInt(json, {"cleanBytes"}));
  return clean;
}

Json DriveBlock(const std::string& pool_uid, int64_t clean_bytes) {
  return Json{{"poolUid", pool_uid}, {"cleanBytes", clean_bytes}};
}

// The partition, all of whose bytes read as zero, is about to become room or a volume.
absl::Status NoteClean(const std::string& device, const PartitionTable& table,
                       const std::string& pool_uid, const Partition& partition) {
  const int64_t clean = CleanBytes(device, table);
  // What lies between would count as clean and is not.
  for (const Extent& gap : FreeExtents(table, kMiB))
    if (gap.start_bytes < partition.start_bytes && gap.start_bytes + gap.size_bytes > clean)
      return absl::OkStatus();
  for (const Partition& other : table.partitions)
    if (other.type == kUnfinishedType && other.start_bytes < partition.start_bytes &&
        other.end_bytes() > clean)
      return absl::OkStatus();
  if (partition.end_bytes() <= clean) return absl::OkStatus();
  return WriteBlocks(device, table, 0, DriveBlock(pool_uid, partition.end_bytes()));
}

}  // namespace

absl::Status PartitionBackend::Claim(const std::string& device, const std::string& drive_id,
                                     const std::string& pool_uid) {
  PartitionTable table;
  const int64_t start = Grain(sys::OptimalIoBytes(device));
  table.partitions = {{kMetadataNumber, start, kMetadataBytes, kMetadataType,
                       VolumeGuid(pool_uid, absl::StrCat("metadata of ", drive_id)),
                       "ashlar metadata"}};
  {
    ASHLAR_ASSIGN_OR_RETURN(const sys::UniqueFd fd, sys::OpenExclusively(device, O_RDWR));
    ASHLAR_RETURN_IF_ERROR(sys::ZeroRange(fd.get(), start, kMetadataBytes, device));
    ASHLAR_RETURN_IF_ERROR(WriteBlocks(device, table, 0, DriveBlock(pool_uid, 0)));
  }
  return Insist([&] {
    return sys::MakePartitionTable(device, TableGuid(pool_uid, drive_id), table.partitions);
  });
}

absl::Status PartitionBackend::Release(const std::string& device) {
  const int64_t start = Grain(sys::OptimalIoBytes(device));
  return Insist([&] { return sys::ErasePartitionTable(device, start + kMetadataBytes); });
}

absl::StatusOr<std::vector<PartitionBackend::OpenDrive>> PartitionBackend::ReadDrives() {
  std::vector<OpenDrive> open;
  absl::Status failed;
  for (const PartitionDrive& drive : drives_) {
    absl::StatusOr<PartitionTable> table = sys::ReadPartitionTable(drive.device);
    if (table.ok() && !IsTableOf(table->uuid, pool_uid_))
      table = absl::NotFoundError(absl::StrCat(drive.device, " is another drive now"));
    if (!table.ok()) {
      failed = absl::UnavailableError(
          absl::StrCat("drive ", drive.id, " cannot be read: ", table.status().message()));
      continue;
    }
    open.push_back({drive, Grain(sys::OptimalIoBytes(drive.device)), *std::move(table)});
  }
  if (open.empty() && !failed.ok()) return failed;
  return open;
}

absl::Status PartitionBackend::SetDrives(const std::vector<PartitionDrive>& drives,
                                         int64_t reserve_bytes) {
  ASHLAR_RETURN_IF_ERROR(sys::EnsureDirectory(links_, 0700));
  MutexLock lock(mu_);
  drives_ = drives;
  reserve_bytes_ = reserve_bytes;
  ASHLAR_ASSIGN_OR_RETURN(const std::vector<OpenDrive> open, ReadDrives());
  std::set<std::string> linked;
  for (const OpenDrive& on : open) {
    if (const absl::Status synced = SyncKernel(on.drive.device, on.table); !synced.ok())
      LogError("the kernel's partitions differ from the drive's",
               {{"drive", on.drive.id}, {"error", synced.ToString()}});
    for (const Partition& partition : on.table.partitions) {
      if (partition.type == kUnfinishedType && making_.count(partition.uuid) == 0)
        StartWipe(partition.uuid);
      if (partition.type != kVolumeType) continue;
      const absl::StatusOr<StoredVolume> volume = Describe({on, partition});
      const absl::Status status =
          volume.ok() ? Link({on, partition}, volume->facts.id) : volume.status();
      if (!status.ok()) {
        LogError("partition that cannot be used", {{"drive", on.drive.id},
                                                   {"partition", partition.number},
                                                   {"error", status.ToString()}});
        continue;
      }
      linked.insert(FileStem(volume->facts.id));
    }
  }
  // What these led to may be a drive of somebody else by now.
  ASHLAR_ASSIGN_OR_RETURN(const std::vector<std::string> names, sys::ListDirectory(links_));
  for (const std::string& name : names)
    if (linked.count(name) == 0)
      ASHLAR_RETURN_IF_ERROR(
          sys::RemoveFile(absl::StrCat(links_, "/", name), Durability::kProcessCrash));
  return absl::OkStatus();
}

absl::StatusOr<bool> PartitionBackend::IsEmpty(const std::string& drive_id) {
  MutexLock lock(mu_);
  ASHLAR_ASSIGN_OR_RETURN(const std::vector<OpenDrive> open, ReadDrives());
  for (const OpenDrive& on : open)
    if (on.drive.id == drive_id)
      return std::all_of(on.table.partitions.begin(), on.table.partitions.end(),
                         [](const Partition& p) { return p.type == kMetadataType; });
  return absl::NotFoundError(absl::StrCat("drive ", drive_id, " cannot be read"));
}

PoolUsage PartitionBackend::UsageOf(const std::vector<OpenDrive>& drives) {
  PoolUsage usage;
  int64_t room = 0;
  for (const OpenDrive& on : drives) {
    int64_t allocated = 0, free = 0, largest = 0;
    for (const Partition& partition : on.table.partitions)
      if (partition.type != kMetadataType) allocated += partition.size_bytes;
    for (const Extent& extent : FreeExtents(on.table, on.grain)) {
      free += extent.size_bytes;
      largest = std::max(largest, extent.size_bytes);
    }
    usage.allocated_bytes += allocated;
    usage.capacity_bytes += allocated + (on.drive.takes_volumes ? free : 0);
    if (!on.drive.takes_volumes) continue;
    if (FreeNumber(on.table) == 0) free = largest = 0;
    usage.drives.push_back({on.drive.id, allocated + free, allocated, free, largest});
    room += free;
    usage.largest_bytes = std::max(usage.largest_bytes, largest);
  }
  usage.capacity_bytes = std::max<int64_t>(0, usage.capacity_bytes - reserve_bytes_);
  const int64_t left = usage.capacity_bytes - usage.allocated_bytes;
  usage.allocatable_bytes = std::max<int64_t>(0, std::min(room, left)) / kMiB * kMiB;
  usage.largest_bytes = std::min(usage.largest_bytes, usage.allocatable_bytes);
  for (DriveUsage& drive : usage.drives) {
    drive.allocatable_bytes = std::min(drive.allocatable_bytes, usage.allocatable_bytes);
    drive.largest_bytes = std::min(drive.largest_bytes, usage.allocatable_bytes);
  }
  return usage;
}

absl::StatusOr<PoolUsage> PartitionBackend::Usage() {
  MutexLock lock(mu_);
  ASHLAR_ASSIGN_OR_RETURN(const std::vector<OpenDrive> drives, ReadDrives());
  return UsageOf(drives);
}

absl::StatusOr<PartitionBackend::Place> PartitionBackend::FindPlace(const std::string& guid) {
  ASHLAR_ASSIGN_OR_RETURN(const std::vector<OpenDrive> drives, ReadDrives());
  for (const OpenDrive& on : drives)
    if (const Partition* partition = FindGuid(on.table, guid)) return Place{on, *partition};
  if (drives.size() < drives_.size())
    return absl::UnavailableError(
        absl::StrCat(drives_.size() - drives.size(), " drives of the pool cannot be read"));
  return absl::NotFoundError(absl::StrCat("no drive has a partition ", guid));
}

absl::StatusOr<PartitionBackend::Place> PartitionBackend::FindVolume(const std::string& id) {
  absl::StatusOr<Place> place = FindPlace(VolumeGuid(pool_uid_, id));
  if (absl::IsNotFound(place.status()) || (place.ok() && place->partition.type != kVolumeType))
    return absl::NotFoundError(absl::StrCat("there is no volume ", id));
  return place;
}

absl::Status PartitionBackend::Put(const OpenDrive& on, const std::vector<Partition>& partitions) {
  ASHLAR_RETURN_IF_ERROR(sys::EditPartitionTable(on.drive.device, partitions));
  ASHLAR_ASSIGN_OR_RETURN(const PartitionTable table, sys::ReadPartitionTable(on.drive.device));
  return SyncKernel(on.drive.device, table);
}

absl::StatusOr<PartitionBackend::Place> PartitionBackend::Reserve(const VolumeFacts& facts,
                                                                  int64_t size_bytes,
                                                                  const std::string& drive) {
  const std::string guid = VolumeGuid(pool_uid_, facts.id);
  MutexLock lock(mu_);
  ASHLAR_ASSIGN_OR_RETURN(const std::vector<OpenDrive> drives, ReadDrives());
  const PoolUsage usage = UsageOf(drives);
  const OpenDrive* best = nullptr;
  Extent smallest;
  for (const OpenDrive& on : drives) {
    if (const Partition* same = FindGuid(on.table, guid)) {
      if (same->type == kVolumeType)
        return absl::AlreadyExistsError(absl::StrCat("volume ", facts.id, " exists"));
      return absl::UnavailableError(
          absl::StrCat("an earlier volume ", facts.id, " is still being wiped: repeat"));
    }
    if (!on.drive.takes_volumes || FreeNumber(on.table) == 0) continue;
    if (!drive.empty() && drive != on.drive.id) continue;
    for (const Extent& extent : FreeExtents(on.table, on.grain))
      if (extent.size_bytes >= size_bytes &&
          (best == nullptr || extent.size_bytes < smallest.size_bytes)) {
        best = &on;
        smallest = extent;
      }
  }
  if (!drive.empty()) {
    ASHLAR_ASSIGN_OR_RETURN(const DriveUsage room, FindDrive(usage, drive));
    ASHLAR_RETURN_IF_ERROR(CheckRoom(room, size_bytes));
  }
  if (best == nullptr || size_bytes > usage.allocatable_bytes)
    return absl::ResourceExhaustedError(
        absl::StrCat(size_bytes, " bytes are wanted, ", usage.largest_bytes,
                     " is the largest volume that fits, ", usage.allocatable_bytes,
                     " can be allocated of a capacity of ", usage.capacity_bytes));
  Place place{*best,
              {FreeNumber(best->table), smallest.start_bytes, size_bytes, kUnfinishedType, guid,
               facts.id.substr(0, 36)}};
  ASHLAR_RETURN_IF_ERROR(WriteBlocks(best->drive.device, best->table, place.partition.number,
                                     Json{{"partition", guid}, {"facts", FactsToJson(facts)}}));
  making_.insert(guid);
  if (const absl::Status put = Put(*best, {place.partition}); !put.ok()) {
    making_.erase(guid);
    StartWipe(guid);
    return put;
  }
  return place;
}

absl::Status PartitionBackend::Clean(const CallContext& context, const Place& place) {
  const Partition& partition = place.partition;
  const std::string& device = place.on.drive.device;
  int64_t clean;
  {
    MutexLock lock(mu_);
    clean = CleanBytes(device, place.on.table);
  }
  if (partition.end_bytes() <= clean) return absl::OkStatus();
  ASHLAR_RETURN_IF_ERROR(Insist([&] {
    const absl::StatusOr<std::string> node = NodeOf(device, partition);
    if (!node.ok()) return node.status();
    return sys::ZeroDevice(context, *node, std::max<int64_t>(0, clean - partition.start_bytes));
  }));
  MutexLock lock(mu_);
  ASHLAR_ASSIGN_OR_RETURN(const PartitionTable table, sys::ReadPartitionTable(device));
  return NoteClean(device, table, pool_uid_, partition);
}

absl::Status PartitionBackend::Build(const CallContext& context, const VolumeFacts& facts,
                                     const Place& place) {
  ASHLAR_RETURN_IF_ERROR(Clean(context, place));
  if (facts.mode == VolumeMode::kBlock) return absl::OkStatus();
  std::string node;
  sys::UniqueFd fd;  // while it is open nobody can take the partition from the kernel
  ASHLAR_RETURN_IF_ERROR(Insist([&] {
    absl::StatusOr<std::string> shown = NodeOf(place.on.drive.device, place.partition);
    if (!shown.ok()) return shown.status();
    absl::StatusOr<sys::UniqueFd> open = sys::OpenFile(*shown, O_RDWR);
    if (!open.ok()) return open.status();
    node = *shown;
    fd = *std::move(open);
    return absl::OkStatus();
  }));
  ASHLAR_RETURN_IF_ERROR(
      FormatImage(commands_, context, {facts.fs_type, place.partition.size_bytes, fd.get(), node}));
  return sys::SyncFile(fd.get(), node);
}

absl::StatusOr<StoredVolume> PartitionBackend::Create(const CallContext& context,
                                                      const VolumeFacts& facts, int64_t size_bytes,
                                                      const std::string& drive) {
  if (!facts.source.empty()) return absl::UnimplementedError("partitions cannot be copied");
  absl::StatusOr<Place> reserved = Reserve(facts, size_bytes, drive);
  if (absl::IsUnavailable(reserved.status())) {
    // What an earlier call of this id left is going.
    const std::string guid = VolumeGuid(pool_uid_, facts.id);
    ASHLAR_RETURN_IF_ERROR(wipes_.Run(context, guid, WipeOf(guid)));
    reserved = Reserve(facts, size_bytes, drive);
  }
  ASHLAR_RETURN_IF_ERROR(reserved.status());
  Place place = *std::move(reserved);
  absl::Status made = Build(context, facts, place);
  MutexLock lock(mu_);
  making_.erase(place.partition.uuid);
  place.partition.type = kVolumeType;
  if (made.ok()) made = Put(place.on, {place.partition});
  if (made.ok()) made = Link(place, facts.id);
  if (!made.ok()) {
    // Nobody learns of the volume. If the table cannot be written either, the next Create finds it.
    place.partition.type = kUnfinishedType;
    (void)Put(place.on, {place.partition});
    StartWipe(place.partition.uuid);
    return made;
  }
  return Describe(place);
}

std::string PartitionBackend::LinkOf(const std::string& id) const {
  return absl::StrCat(links_, "/", FileStem(id));
}

absl::Status PartitionBackend::Link(const Place& place, const std::string& id) {
  return Insist([&] {
    const absl::StatusOr<std::string> node = NodeOf(place.on.drive.device, place.partition);
    return node.ok() ? sys::EnsureLink(*node, LinkOf(id)) : node.status();
  });
}

absl::StatusOr<StoredVolume> PartitionBackend::Describe(const Place& place) {
  ASHLAR_ASSIGN_OR_RETURN(
      const std::vector<Json> blocks,
      ReadBlocks(place.on.drive.device, place.on.table, place.partition.number));
  for (const Json& json : blocks) {
    const Json* facts = FindJson(json, {"facts"});
    if (facts == nullptr || JsonString(json, {"partition"}) != place.partition.uuid) continue;
    StoredVolume volume;
    ASHLAR_ASSIGN_OR_RETURN(volume.facts, FactsFromJson(*facts));
    volume.size_bytes = place.partition.size_bytes;
    volume.path = LinkOf(volume.facts.id);
    volume.form = VolumeForm::kDevice;
    volume.extents = 1;
    volume.discard = true;
    volume.drive = place.on.drive.id;
    return volume;
  }
  return absl::DataLossError(absl::StrCat("both descriptions of partition ", place.partition.number,
                                          " of ", place.on.drive.device, " are damaged"));
}

absl::StatusOr<StoredVolume> PartitionBackend::Find(const std::string& id) {
  MutexLock lock(mu_);
  ASHLAR_ASSIGN_OR_RETURN(const Place place, FindVolume(id));
  return Describe(place);
}

absl::StatusOr<std::vector<StoredVolume>> PartitionBackend::List() {
  MutexLock lock(mu_);
  ASHLAR_ASSIGN_OR_RETURN(const std::vector<OpenDrive> drives, ReadDrives());
  std::vector<StoredVolume> volumes;
  for (const OpenDrive& on : drives)
    for (const Partition& partition : on.table.partitions) {
      if (partition.type != kVolumeType) continue;
      absl::StatusOr<StoredVolume> volume = Describe({on, partition});
      if (volume.ok())
        volumes.push_back(*std::move(volume));
      else
        LogError("partition that cannot be read", {{"error", volume.status().ToString()}});
    }
  return volumes;
}

absl::StatusOr<StoredVolume> PartitionBackend::Grow(const CallContext& context,
                                                    const std::string& id, int64_t size_bytes) {
  const std::string tail_guid = VolumeGuid(pool_uid_, absl::StrCat(id, " grows"));
  // What an interrupted call left takes the room that is wanted.
  ASHLAR_RETURN_IF_ERROR(wipes_.Run(context, tail_guid, WipeOf(tail_guid)));
  Place place;
  Place tail;
  {
    MutexLock lock(mu_);
    ASHLAR_ASSIGN_OR_RETURN(place, FindVolume(id));
    const Partition& volume = place.partition;
    const int64_t more = size_bytes - volume.size_bytes;
    if (more <= 0) return Describe(place);
    ASHLAR_ASSIGN_OR_RETURN(const std::vector<OpenDrive> drives, ReadDrives());
    const int64_t room =
        std::min(RoomAfter(place.on.table, volume), UsageOf(drives).allocatable_bytes);
    const uint32_t number = FreeNumber(place.on.table);
    if (more > room || number == 0)
      return absl::ResourceExhaustedError(
          absl::StrCat(size_bytes, " bytes are wanted; the partition can grow to at most ",
                       volume.size_bytes + (number == 0 ? 0 : room), ", as other ones follow it"));
    // Zeroed before the volume shows it, and nobody else's meanwhile.
    tail = {place.on, {number, volume.end_bytes(), more, kUnfinishedType, tail_guid, ""}};
    making_.insert(tail.partition.uuid);
    if (const absl::Status put = Put(place.on, {tail.partition}); !put.ok()) {
      making_.erase(tail.partition.uuid);
      StartWipe(tail.partition.uuid);
      return put;
    }
  }
  absl::Status grown = Clean(context, tail);
  MutexLock lock(mu_);
  making_.erase(tail.partition.uuid);
  if (grown.ok()) {
    tail.partition.size_bytes = 0;
    place.partition.size_bytes = size_bytes;
    grown = Put(place.on, {tail.partition, place.partition});
  }
  if (!grown.ok()) {
    StartWipe(tail.partition.uuid);
    return grown;
  }
  return Describe(place);
}

absl::StatusOr<StoredVolume> PartitionBackend::Prepare(const CallContext&, const std::string& id) {
  MutexLock lock(mu_);
  ASHLAR_ASSIGN_OR_RETURN(const Place place, FindVolume(id));
  ASHLAR_RETURN_IF_ERROR(SyncKernel(place.on.drive.device, place.on.table));
  ASHLAR_RETURN_IF_ERROR(Link(place, id));
  return Describe(place);
}

Wipes::Work PartitionBackend::WipeOf(const std::string& guid) {
  return [this, guid](const CallContext& context) { return WipeAndFree(context, guid); };
}

void PartitionBackend::StartWipe(const std::string& guid) { wipes_.Start(guid, WipeOf(guid)); }

absl::Status PartitionBackend::WipeAndFree(const CallContext& context, const std::string& guid) {
  Place place;
  {
    MutexLock lock(mu_);
    absl::StatusOr<Place> found = FindPlace(guid);
    if (absl::IsNotFound(found.status())) return absl::OkStatus();
    ASHLAR_RETURN_IF_ERROR(found.status());
    place = *std::move(found);
    if (place.partition.type != kUnfinishedType)
      return absl::FailedPreconditionError(absl::StrCat("partition ", guid, " is a volume"));
    ASHLAR_RETURN_IF_ERROR(SyncKernel(place.on.drive.device, place.on.table));
  }
  const std::string& device = place.on.drive.device;
  ASHLAR_RETURN_IF_ERROR(Insist([&] {
    const absl::StatusOr<std::string> node = NodeOf(device, place.partition);
    return node.ok() ? sys::ZeroDevice(context, *node, 0) : node.status();
  }));
  MutexLock lock(mu_);
  ASHLAR_ASSIGN_OR_RETURN(const PartitionTable table, sys::ReadPartitionTable(device));
  const Partition* now = FindGuid(table, guid);
  if (now == nullptr || now->start_bytes != place.partition.start_bytes)
    return absl::AbortedError(absl::StrCat(device, " is another drive now"));
  ASHLAR_RETURN_IF_ERROR(NoteClean(device, table, pool_uid_, place.partition));
  place.partition.size_bytes = 0;
  return Put(place.on, {place.partition});
}

absl::Status PartitionBackend::Remove(const CallContext& context, const std::string& id) {
  const std::string guid = VolumeGuid(pool_uid_, id);
  {
    MutexLock lock(mu_);
    ASHLAR_RETURN_IF_ERROR(sys::RemoveFile(LinkOf(id), Durability::kProcessCrash));
    absl::StatusOr<Place> place = FindPlace(guid);
    if (absl::IsNotFound(place.status())) return absl::OkStatus();
    ASHLAR_RETURN_IF_ERROR(place.status());
    if (place->partition.type == kVolumeType) {
      place->partition.type = kUnfinishedType;
      ASHLAR_RETURN_IF_ERROR(Put(place->on, {place->partition}));
    }
  }
  return wipes_.Run(context, guid, WipeOf(guid));
}

}  // namespace ashlar::node_agent
