#include "node-agent/storage/wholedrive/whole_drive_backend.h"

#include <fcntl.h>

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "lib/base/json.h"
#include "lib/base/log.h"
#include "lib/base/status_macros.h"
#include "lib/system/block_device.h"
#include "lib/system/files.h"
#include "lib/system/links.h"
#include "node-agent/storage/blank_ends.h"
#include "node-agent/storage/format_image.h"
#include "node-agent/storage/pool_types.h"
#include "node-agent/storage/room.h"
#include "node-agent/storage/volume_uuid.h"

namespace ashlar::node_agent {
namespace {

using sys::Durability;

constexpr char kMaking[] = "making";
constexpr char kVolume[] = "volume";
constexpr char kWiping[] = "wiping";

int64_t SizeOf(const Drive& drive) { return drive.size_bytes / kMiB * kMiB; }

}  // namespace

std::string WholeDriveBackend::RecordPath(const std::string& drive_id) const {
  return absl::StrCat(records_, "/", FilesystemUuid(absl::StrCat("drive ", drive_id)), ".json");
}

std::string WholeDriveBackend::LinkOf(const std::string& id) const {
  return absl::StrCat(links_, "/", FileStem(id));
}

std::string WholeDriveBackend::UuidOf(const std::string& id) const {
  return VolumeUuid(pool_uid_, id);
}

absl::Status WholeDriveBackend::Save(const Record& record) {
  const Json json{
      {"drive", record.drive}, {"state", record.state}, {"facts", FactsToJson(record.facts)}};
  ASHLAR_RETURN_IF_ERROR(sys::ReplaceFileDurably(RecordPath(record.drive), DumpJson(json)));
  known_[record.drive] = record;
  return absl::OkStatus();
}

absl::Status WholeDriveBackend::LoadRecords() {
  ASHLAR_RETURN_IF_ERROR(sys::EnsureDirectory(records_, 0700));
  ASHLAR_ASSIGN_OR_RETURN(const std::vector<std::string> names, sys::ListDirectory(records_));
  for (const std::string& name : names) {
    if (!absl::EndsWith(name, ".json")) continue;
    // A drive whose record cannot be read may have a volume: no drive is taken before that is
    // known.
    ASHLAR_ASSIGN_OR_RETURN(const std::string text,
                            sys::ReadFile(absl::StrCat(records_, "/", name)));
    ASHLAR_ASSIGN_OR_RETURN(const Json json, ParseJson(text));
    Record record{JsonString(json, {"drive"}), JsonString(json, {"state"}), {}};
    const Json* facts = FindJson(json, {"facts"});
    const bool known_state =
        record.state == kMaking || record.state == kVolume || record.state == kWiping;
    if (facts == nullptr || record.drive.empty() || !known_state)
      return absl::DataLossError(absl::StrCat("record ", name, " of a drive is damaged"));
    ASHLAR_ASSIGN_OR_RETURN(record.facts, FactsFromJson(*facts));
    known_[record.drive] = std::move(record);
  }
  return absl::OkStatus();
}

const WholeDrive* WholeDriveBackend::Present(const std::string& drive_id) {
  for (const WholeDrive& drive : drives_)
    if (drive.drive.id == drive_id) return &drive;
  return nullptr;
}

const WholeDriveBackend::Record* WholeDriveBackend::RecordOf(const std::string& id) {
  for (const auto& [drive, record] : known_)
    if (record.facts.id == id) return &record;
  return nullptr;
}

bool WholeDriveBackend::IsFree(const WholeDrive& drive) {
  return drive.takes_volumes && drive.drive.busy_reason.empty() &&
         known_.count(drive.drive.id) == 0 && barred_.count(drive.drive.id) == 0;
}

bool WholeDriveBackend::Holds(const std::string& drive_id) {
  MutexLock lock(mu_);
  return known_.count(drive_id) > 0;
}

absl::StatusOr<bool> WholeDriveBackend::UnlessHeld(const std::string& drive_id,
                                                   absl::FunctionRef<absl::StatusOr<bool>()> act) {
  {
    MutexLock lock(mu_);
    if (known_.count(drive_id) > 0) return false;
    barred_.insert(drive_id);
  }
  absl::StatusOr<bool> answer = act();
  MutexLock lock(mu_);
  barred_.erase(drive_id);
  return answer;
}

uint64_t WholeDriveBackend::Freed() {
  MutexLock lock(mu_);
  return freed_;
}

absl::StatusOr<std::set<std::string>> WholeDriveBackend::SetDrives(std::vector<WholeDrive> drives,
                                                                   int64_t reserve_bytes,
                                                                   uint64_t freed) {
  ASHLAR_RETURN_IF_ERROR(sys::EnsureDirectory(links_, 0700));
  MutexLock lock(mu_);
  if (freed != freed_) return absl::AbortedError("a drive was freed meanwhile");
  if (known_.empty()) ASHLAR_RETURN_IF_ERROR(LoadRecords());
  drives_ = std::move(drives);
  reserve_bytes_ = reserve_bytes;
  std::set<std::string> held, linked;
  for (const auto& [id, record] : known_) {
    held.insert(id);
    const WholeDrive* drive = Present(id);
    if (drive == nullptr) continue;
    if (record.state != kVolume) {
      if (making_.count(id) == 0) wipes_.Start(id, WipeOf(id));
      continue;
    }
    ASHLAR_RETURN_IF_ERROR(sys::EnsureLink(drive->drive.device, LinkOf(record.facts.id)));
    linked.insert(FileStem(record.facts.id));
  }
  // What these led to may be another drive by now.
  ASHLAR_ASSIGN_OR_RETURN(const std::vector<std::string> names, sys::ListDirectory(links_));
  for (const std::string& name : names)
    if (linked.count(name) == 0)
      ASHLAR_RETURN_IF_ERROR(
          sys::RemoveFile(absl::StrCat(links_, "/", name), Durability::kProcessCrash));
  return held;
}

PoolUsage WholeDriveBackend::UsageLocked() {
  PoolUsage usage;
  int64_t free = 0, largest = 0;
  for (const WholeDrive& drive : drives_) {
    const int64_t size = SizeOf(drive.drive);
    if (known_.count(drive.drive.id) > 0) {
      usage.allocated_bytes += size;
    } else if (IsFree(drive)) {
      free += size;
    }
  }
  for (const WholeDrive& drive : drives_) {
    const int64_t size = SizeOf(drive.drive);
    const bool fits = IsFree(drive) && free - size >= reserve_bytes_;
    if (fits) largest = std::max(largest, size);
    const int64_t allocated = known_.count(drive.drive.id) > 0 ? size : 0;
    if (drive.takes_volumes && (allocated > 0 || drive.drive.busy_reason.empty()))
      usage.drives.push_back({drive.drive.id, size, allocated, fits ? size : 0, fits ? size : 0});
  }
  usage.allocatable_bytes = std::max<int64_t>(0, free - reserve_bytes_) / kMiB * kMiB;
  usage.capacity_bytes = usage.allocated_bytes + usage.allocatable_bytes;
  usage.largest_bytes = largest;
  return usage;
}

absl::StatusOr<PoolUsage> WholeDriveBackend::Usage() {
  MutexLock lock(mu_);
  return UsageLocked();
}

bool WholeDriveBackend::Readopt(const VolumeFacts& facts) {
  for (const WholeDrive& drive : drives_) {
    const sys::Signature& signature = drive.drive.signature;
    if (signature.uuid != UuidOf(facts.id) || signature.type != facts.fs_type) continue;
    if (known_.count(drive.drive.id) > 0 || barred_.count(drive.drive.id) > 0) continue;
    LogWarning("a drive bears a volume whose record was lost",
               {{"volume", facts.id}, {"drive", drive.drive.id}});
    return Save({drive.drive.id, kVolume, facts}).ok() &&
           sys::EnsureLink(drive.drive.device, LinkOf(facts.id)).ok();
  }
  return false;
}

absl::StatusOr<Drive> WholeDriveBackend::Reserve(const VolumeFacts& facts, int64_t size_bytes,
                                                 const std::string& wanted) {
  MutexLock lock(mu_);
  if (const Record* same = RecordOf(facts.id)) {
    if (same->state == kVolume)
      return absl::AlreadyExistsError(absl::StrCat("volume ", facts.id, " exists"));
    return absl::UnavailableError(
        absl::StrCat("an earlier volume ", facts.id, " is still being wiped: repeat"));
  }
  if (Readopt(facts)) return absl::AlreadyExistsError(absl::StrCat(facts.id, " is here again"));
  std::vector<const WholeDrive*> fitting;
  const PoolUsage usage = UsageLocked();
  if (!wanted.empty()) {
    ASHLAR_ASSIGN_OR_RETURN(const DriveUsage room, FindDrive(usage, wanted));
    ASHLAR_RETURN_IF_ERROR(CheckRoom(room, size_bytes));
  }
  for (const WholeDrive& drive : drives_)
    if ((wanted.empty() || wanted == drive.drive.id) && IsFree(drive) &&
        SizeOf(drive.drive) >= size_bytes && SizeOf(drive.drive) <= usage.allocatable_bytes)
      fitting.push_back(&drive);
  std::sort(fitting.begin(), fitting.end(), [](const WholeDrive* a, const WholeDrive* b) {
    return a->drive.size_bytes < b->drive.size_bytes;
  });
  std::string refused;
  for (const WholeDrive* drive : fitting) {
    std::string busy = scanner_.BusyReason(drive->drive);
    if (busy.empty()) busy = DataReason(drive->drive.device);
    if (!busy.empty()) {
      absl::StrAppend(&refused, "; ", drive->drive.id, " ", busy);
      continue;
    }
    ASHLAR_RETURN_IF_ERROR(Save({drive->drive.id, kMaking, facts}));
    making_.insert(drive->drive.id);
    return drive->drive;
  }
  return absl::ResourceExhaustedError(absl::StrCat(
      size_bytes, " bytes are wanted, the largest free drive has ", usage.largest_bytes, refused));
}

absl::StatusOr<std::string> WholeDriveBackend::DeviceNow(const Drive& drive) {
  ASHLAR_ASSIGN_OR_RETURN(const std::vector<Drive> all, scanner_.Scan({drive.device}));
  for (const Drive& now : all)
    if (now.id == drive.id) return now.device;
  return absl::UnavailableError(absl::StrCat("drive ", drive.id, " is not there"));
}

absl::Status WholeDriveBackend::Build(const CallContext& context, const VolumeFacts& facts,
                                      const Drive& drive) {
  ASHLAR_ASSIGN_OR_RETURN(const std::string device, DeviceNow(drive));
  ASHLAR_RETURN_IF_ERROR(sys::ZeroDevice(context, device, 0));
  if (facts.mode == VolumeMode::kBlock) return absl::OkStatus();
  ASHLAR_ASSIGN_OR_RETURN(const sys::UniqueFd fd, sys::OpenFile(device, O_RDWR));
  ImageToFormat image;
  image.fs_type = facts.fs_type;
  image.size_bytes = drive.size_bytes;
  image.fd = fd.get();
  image.path = device;
  image.uuid = UuidOf(facts.id);
  ASHLAR_RETURN_IF_ERROR(FormatImage(commands_, context, image));
  return sys::SyncFile(fd.get(), device);
}

absl::StatusOr<StoredVolume> WholeDriveBackend::Create(const CallContext& context,
                                                       const VolumeFacts& facts, int64_t size_bytes,
                                                       const std::string& wanted) {
  if (!facts.source.empty()) return absl::UnimplementedError("whole drives cannot be copied");
  absl::StatusOr<Drive> drive = Reserve(facts, size_bytes, wanted);
  if (absl::IsUnavailable(drive.status())) {
    std::string left;
    {
      MutexLock lock(mu_);
      if (const Record* record = RecordOf(facts.id)) left = record->drive;
    }
    if (!left.empty()) ASHLAR_RETURN_IF_ERROR(wipes_.Run(context, left, WipeOf(left)));
    drive = Reserve(facts, size_bytes, wanted);
  }
  ASHLAR_RETURN_IF_ERROR(drive.status());
  absl::Status made = Build(context, facts, *drive);
  MutexLock lock(mu_);
  making_.erase(drive->id);
  const Record record{drive->id, kVolume, facts};
  if (made.ok()) made = sys::EnsureLink(drive->device, LinkOf(facts.id));
  if (made.ok()) made = Save(record);
  if (!made.ok()) {
    wipes_.Start(drive->id, WipeOf(drive->id));
    return made;
  }
  return Describe(record);
}

absl::StatusOr<StoredVolume> WholeDriveBackend::Describe(const Record& record) {
  const WholeDrive* drive = Present(record.drive);
  if (drive == nullptr)
    return absl::UnavailableError(
        absl::StrCat("drive ", record.drive, " of volume ", record.facts.id, " is not there"));
  StoredVolume volume;
  volume.facts = record.facts;
  volume.size_bytes = drive->drive.size_bytes;
  volume.path = LinkOf(record.facts.id);
  volume.form = VolumeForm::kDevice;
  volume.extents = 1;
  volume.discard = true;
  volume.drive = record.drive;
  return volume;
}

absl::StatusOr<WholeDriveBackend::Record> WholeDriveBackend::FindVolume(const std::string& id) {
  const Record* record = RecordOf(id);
  if (record == nullptr || record->state != kVolume)
    return absl::NotFoundError(absl::StrCat("there is no volume ", id));
  return *record;
}

absl::StatusOr<StoredVolume> WholeDriveBackend::Find(const std::string& id) {
  MutexLock lock(mu_);
  ASHLAR_ASSIGN_OR_RETURN(const Record record, FindVolume(id));
  return Describe(record);
}

absl::StatusOr<std::vector<StoredVolume>> WholeDriveBackend::List() {
  MutexLock lock(mu_);
  std::vector<StoredVolume> volumes;
  for (const auto& [drive, record] : known_) {
    if (record.state != kVolume) continue;
    absl::StatusOr<StoredVolume> volume = Describe(record);
    if (volume.ok()) volumes.push_back(*std::move(volume));
  }
  return volumes;
}

absl::StatusOr<StoredVolume> WholeDriveBackend::Grow(const CallContext&, const std::string& id,
                                                     int64_t) {
  ASHLAR_ASSIGN_OR_RETURN(const StoredVolume volume, Find(id));
  return absl::UnimplementedError(absl::StrCat("volume ", id, " is a whole drive of ",
                                               volume.size_bytes, " bytes and cannot grow"));
}

absl::StatusOr<StoredVolume> WholeDriveBackend::Prepare(const CallContext&, const std::string& id) {
  MutexLock lock(mu_);
  ASHLAR_ASSIGN_OR_RETURN(const Record record, FindVolume(id));
  ASHLAR_ASSIGN_OR_RETURN(StoredVolume volume, Describe(record));
  // The names of drives may have changed since they were looked at.
  ASHLAR_ASSIGN_OR_RETURN(const std::string device, DeviceNow(Present(record.drive)->drive));
  if (record.facts.mode == VolumeMode::kFilesystem) {
    ASHLAR_ASSIGN_OR_RETURN(const sys::Signature signature, sys::ProbeSignature(device));
    if (signature.uuid != UuidOf(id))
      return absl::DataLossError(
          absl::StrCat(device, " does not bear the filesystem of volume ", id));
  }
  ASHLAR_RETURN_IF_ERROR(sys::EnsureLink(device, LinkOf(id)));
  return volume;
}

Wipes::Work WholeDriveBackend::WipeOf(const std::string& drive_id) {
  return [this, drive_id](const CallContext& context) { return WipeAndFree(context, drive_id); };
}

absl::Status WholeDriveBackend::WipeAndFree(const CallContext& context,
                                            const std::string& drive_id) {
  Drive wiped;
  {
    MutexLock lock(mu_);
    const auto record = known_.find(drive_id);
    if (record == known_.end()) return absl::OkStatus();
    if (record->second.state == kVolume)
      return absl::FailedPreconditionError(absl::StrCat("drive ", drive_id, " has a volume"));
    const WholeDrive* drive = Present(drive_id);
    if (drive == nullptr)
      return absl::UnavailableError(absl::StrCat("drive ", drive_id, " is not there"));
    wiped = drive->drive;
  }
  ASHLAR_ASSIGN_OR_RETURN(const std::string device, DeviceNow(wiped));
  ASHLAR_RETURN_IF_ERROR(sys::ZeroDevice(context, device, 0));
  MutexLock lock(mu_);
  ASHLAR_RETURN_IF_ERROR(sys::RemoveFile(RecordPath(drive_id), Durability::kPowerCut));
  known_.erase(drive_id);
  ++freed_;
  for (WholeDrive& drive : drives_)
    if (drive.drive.id == drive_id) {
      drive.drive.busy_reason.clear();
      drive.drive.signature = {};
    }
  return absl::OkStatus();
}

absl::Status WholeDriveBackend::Remove(const CallContext& context, const std::string& id) {
  std::string drive_id;
  {
    MutexLock lock(mu_);
    const Record* record = RecordOf(id);
    if (record == nullptr) return absl::OkStatus();
    drive_id = record->drive;
    if (Present(drive_id) == nullptr)
      return absl::UnavailableError(absl::StrCat("drive ", drive_id, " of volume ", id,
                                                 " is not there, so it cannot be wiped"));
    ASHLAR_RETURN_IF_ERROR(sys::RemoveFile(LinkOf(id), Durability::kProcessCrash));
    if (record->state == kVolume) ASHLAR_RETURN_IF_ERROR(Save({drive_id, kWiping, record->facts}));
  }
  return wipes_.Run(context, drive_id, WipeOf(drive_id));
}

}  // namespace ashlar::node_agent
