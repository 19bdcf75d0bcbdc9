// How the namespace of a volume comes and goes.
#include <fcntl.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "lib/base/log.h"
#include "lib/base/status_macros.h"
#include "lib/system/block_device.h"
#include "lib/system/block_erase.h"
#include "lib/system/block_probe.h"
#include "lib/system/files.h"
#include "lib/system/links.h"
#include "node-agent/storage/blank_ends.h"
#include "node-agent/storage/format_image.h"
#include "node-agent/storage/namespace/namespace_backend.h"

namespace ashlar::node_agent {
namespace {

// Null: the subsystem has no such namespace.
const NvmeNamespaceState* Locate(const NvmeSubsystem& subsystem, const NamespaceRecord& record) {
  const NvmeNamespaceState* space = subsystem.Find(record.nsid);
  return space != nullptr && space->identity == record.identity ? space : nullptr;
}

// Attached to nothing, of this machine or of another.
bool IsDetached(const NvmeNamespaceState& space) {
  return space.known && space.attached.empty() && space.device.empty();
}

}  // namespace

absl::StatusOr<StoredVolume> NamespaceBackend::Create(const CallContext& context,
                                                      const VolumeFacts& facts, int64_t size_bytes,
                                                      const std::string& drive) {
  if (!facts.source.empty()) return absl::UnimplementedError("namespaces cannot be copied");
  absl::StatusOr<NamespaceRecord> claimed = Claim(context, facts, size_bytes, drive);
  if (absl::IsUnavailable(claimed.status())) {
    // What an earlier call of this id left is going.
    ASHLAR_RETURN_IF_ERROR(wipes_.Run(context, facts.id, WipeOf(facts.id)));
    claimed = Claim(context, facts, size_bytes, drive);
  }
  ASHLAR_RETURN_IF_ERROR(claimed.status());
  NamespaceRecord record = *std::move(claimed);
  absl::Status made = Build(context, record);
  MutexLock lock(mu_);
  working_.erase(facts.id);
  record.phase = NamespacePhase::kVolume;
  if (made.ok()) made = records_.Save(record);
  if (!made.ok()) {
    wipes_.Start(facts.id, WipeOf(facts.id));
    return made;
  }
  return Describe(record);
}

absl::StatusOr<NamespaceRecord> NamespaceBackend::Claim(const CallContext& context,
                                                        const VolumeFacts& facts,
                                                        int64_t size_bytes,
                                                        const std::string& drive) {
  for (;;) {
    ASHLAR_RETURN_IF_ERROR(CheckContext(clock_, context));
    ASHLAR_ASSIGN_OR_RETURN(NamespaceRecord record, Reserve(facts, size_bytes, drive));
    absl::StatusOr<bool> claimed = record.nsid == 0 ? Allocate(record) : Take(context, record);
    if (claimed.ok() && *claimed) return record;
    MutexLock lock(mu_);
    working_.erase(facts.id);
    if (claimed.ok()) continue;
    wipes_.Start(facts.id, WipeOf(facts.id));
    // Not Unavailable, which would mean an earlier volume.
    return absl::AbortedError(claimed.status().message());
  }
}

absl::StatusOr<NamespaceRecord> NamespaceBackend::Reserve(const VolumeFacts& facts,
                                                          int64_t size_bytes,
                                                          const std::string& drive) {
  MutexLock lock(mu_);
  if (const NamespaceRecord* same = records_.Find(facts.id)) {
    if (same->phase == NamespacePhase::kVolume)
      return absl::AlreadyExistsError(absl::StrCat("volume ", facts.id, " exists"));
    return absl::UnavailableError(
        absl::StrCat("an earlier volume ", facts.id, " is still being wiped: repeat"));
  }
  if (Readopt(facts)) return absl::AlreadyExistsError(absl::StrCat(facts.id, " is here again"));
  ASHLAR_ASSIGN_OR_RETURN(const NamespacePlace place, ChoosePlace(Pool(), size_bytes, drive));
  NamespaceRecord record;
  record.facts = facts;
  record.nqn = place.nqn;
  record.serial = place.serial;
  record.nsid = place.nsid;
  record.identity = place.identity;
  record.size_bytes = place.size_bytes;
  record.created = place.nsid == 0;
  ASHLAR_RETURN_IF_ERROR(records_.Save(record));
  working_.insert(facts.id);
  return record;
}

bool NamespaceBackend::Readopt(const VolumeFacts& facts) {
  for (const PoolSubsystem& on : subsystems_)
    for (const NvmeNamespaceState& space : on.subsystem.namespaces) {
      const auto look = on.looks.find(space.nsid);
      if (look == on.looks.end() || look->second.signature.uuid != UuidOf(facts.id) ||
          look->second.signature.type != facts.fs_type || space.device.empty() ||
          records_.Of(on.subsystem, space) != nullptr)
        continue;
      LogWarning("a namespace bears a volume whose record was lost",
                 {{"volume", facts.id}, {"subsystem", on.subsystem.nqn}, {"nsid", space.nsid}});
      NamespaceRecord record{facts, NamespacePhase::kVolume, on.subsystem.nqn};
      record.serial = on.subsystem.serial;
      record.nsid = space.nsid;
      record.identity = space.identity;
      record.size_bytes = space.size_bytes;
      return records_.Save(record).ok() && sys::EnsureLink(space.device, LinkOf(facts.id)).ok();
    }
  return false;
}

absl::StatusOr<bool> NamespaceBackend::Allocate(NamespaceRecord& record) {
  MutexLock changes(changes_);
  ASHLAR_ASSIGN_OR_RETURN(NvmeSubsystem subsystem, nvme_.Read(record.nqn));
  for (const NvmeNamespaceState& space : subsystem.namespaces) record.before.push_back(space.nsid);
  record.phase = NamespacePhase::kCreating;
  ASHLAR_RETURN_IF_ERROR(Remember(subsystem, record));
  ASHLAR_ASSIGN_OR_RETURN(const sys::NvmeCreated made, nvme_.Create(subsystem, record.size_bytes));
  if (made.status != 0) {
    LogWarning("a controller refuses to create a namespace",
               {{"controller", record.serial},
                {"bytes", record.size_bytes},
                {"status", sys::DescribeNvmeStatus(made.status)}});
    MutexLock lock(mu_);
    ASHLAR_RETURN_IF_ERROR(records_.SaveRefusal(
        record.nqn, {made.status, record.size_bytes, subsystem.unallocated_bytes,
                     subsystem.firmware, clock_.Now()}));
    ASHLAR_RETURN_IF_ERROR(records_.Remove(record.facts.id));
    return false;
  }
  ASHLAR_ASSIGN_OR_RETURN(subsystem, nvme_.Read(record.nqn));
  const NvmeNamespaceState* space = subsystem.Find(made.nsid);
  if (space == nullptr || space->size_bytes != record.size_bytes) {
    (void)nvme_.Delete(subsystem, made.nsid);
    return absl::InternalError(absl::StrCat(record.serial, " created namespace ", made.nsid,
                                            ", and not of the size that was asked for"));
  }
  record.nsid = made.nsid;
  record.identity = space->identity;
  record.phase = NamespacePhase::kMaking;
  record.before.clear();
  ASHLAR_RETURN_IF_ERROR(Remember(subsystem, record));
  return true;
}

absl::Status NamespaceBackend::NoteDetached(NamespaceRecord& record) {
  MutexLock changes(changes_);
  ASHLAR_ASSIGN_OR_RETURN(const NvmeSubsystem subsystem, nvme_.Read(record.nqn));
  const NvmeNamespaceState* space = Locate(subsystem, record);
  if (space != nullptr && IsDetached(*space)) record.attached = true;
  return Remember(subsystem, record);
}

absl::StatusOr<bool> NamespaceBackend::Take(const CallContext& context, NamespaceRecord& record) {
  ASHLAR_RETURN_IF_ERROR(NoteDetached(record));
  const absl::StatusOr<std::string> device = Attached(context, record);
  if (!device.ok() && !absl::IsNotFound(device.status())) return device.status();
  const std::string busy = device.ok() ? BusyReason(*device) : "is gone";
  if (busy.empty()) {
    record.phase = NamespacePhase::kMaking;
    MutexLock lock(mu_);
    ASHLAR_RETURN_IF_ERROR(records_.Save(record));
    return true;
  }
  ASHLAR_RETURN_IF_ERROR(Leave(context, record));
  MutexLock changes(changes_);  // who looks at this moment finds it held, or free
  MutexLock lock(mu_);
  if (PoolSubsystem* on = Known(record.nqn)) on->looks[record.nsid].busy_reason = busy;
  ASHLAR_RETURN_IF_ERROR(records_.Remove(record.facts.id));
  return false;
}

std::string NamespaceBackend::BusyReason(const std::string& device) {
  Drive drive;
  drive.device = device;
  const std::string busy = scanner_.BusyReason(drive);
  return busy.empty() ? DataReason(device) : busy;
}

absl::StatusOr<std::string> NamespaceBackend::Attached(const CallContext& context,
                                                       const NamespaceRecord& record) {
  MutexLock changes(changes_);
  ASHLAR_ASSIGN_OR_RETURN(NvmeSubsystem subsystem, nvme_.Read(record.nqn));
  const NvmeNamespaceState* space = Locate(subsystem, record);
  if (space == nullptr)
    return absl::NotFoundError(
        absl::StrCat("there is no namespace ", record.nsid, " of ", record.serial, " any more"));
  if (!space->device.empty()) {
    const std::string device = space->device;
    Remember(subsystem);
    return device;
  }
  if (!space->known || !space->attached.empty())
    return absl::UnavailableError(absl::StrCat("namespace ", record.nsid, " of ", record.serial,
                                               " is not shown to this machine"));
  ASHLAR_ASSIGN_OR_RETURN(std::string device, nvme_.Attach(context, subsystem, *space));
  ASHLAR_ASSIGN_OR_RETURN(subsystem, nvme_.Read(record.nqn));
  Remember(subsystem);
  return device;
}

absl::Status NamespaceBackend::Build(const CallContext& context, const NamespaceRecord& record) {
  ASHLAR_ASSIGN_OR_RETURN(const std::string device, Attached(context, record));
  ASHLAR_RETURN_IF_ERROR(sys::ZeroDevice(context, device, 0));
  if (record.facts.mode == VolumeMode::kFilesystem) {
    ASHLAR_ASSIGN_OR_RETURN(const sys::UniqueFd fd, sys::OpenFile(device, O_RDWR));
    ImageToFormat image;
    image.fs_type = record.facts.fs_type;
    image.size_bytes = record.size_bytes;
    image.fd = fd.get();
    image.path = device;
    image.uuid = UuidOf(record.facts.id);
    ASHLAR_RETURN_IF_ERROR(FormatImage(commands_, context, image));
    ASHLAR_RETURN_IF_ERROR(sys::SyncFile(fd.get(), device));
  }
  return sys::EnsureLink(device, LinkOf(record.facts.id));
}

Wipes::Work NamespaceBackend::WipeOf(const std::string& id) {
  return [this, id](const CallContext& context) { return WipeAndFree(context, id); };
}

absl::Status NamespaceBackend::WipeAndFree(const CallContext& context, const std::string& id) {
  NamespaceRecord record;
  {
    MutexLock lock(mu_);
    const NamespaceRecord* known = records_.Find(id);
    if (known == nullptr) return absl::OkStatus();
    record = *known;
  }
  if (record.phase == NamespacePhase::kVolume)
    return absl::FailedPreconditionError(absl::StrCat(id, " is a volume"));
  bool there = true;
  if (record.phase == NamespacePhase::kCreating) {
    ASHLAR_ASSIGN_OR_RETURN(there, Recover(context, record));
  }
  std::string busy;  // what lies on it, if nothing was written
  if (there && record.phase != NamespacePhase::kReserved) {
    ASHLAR_RETURN_IF_ERROR(Erase(context, record));
  } else if (there && record.nsid != 0) {
    ASHLAR_RETURN_IF_ERROR(NoteDetached(record));
    const absl::StatusOr<std::string> device = Attached(context, record);
    if (absl::IsUnavailable(device.status())) return device.status();
    busy = device.ok() ? BusyReason(*device) : std::string(device.status().message());
  }
  if (there && record.nsid != 0) ASHLAR_RETURN_IF_ERROR(Leave(context, record));
  MutexLock changes(changes_);  // who looks at this moment finds it held, or free
  MutexLock lock(mu_);
  ASHLAR_RETURN_IF_ERROR(records_.Remove(id));
  if (PoolSubsystem* on = Known(record.nqn); on != nullptr && there && !record.created)
    on->looks[record.nsid] = {busy};
  return absl::OkStatus();
}

absl::StatusOr<bool> NamespaceBackend::Recover(const CallContext& context,
                                               NamespaceRecord& record) {
  std::vector<NvmeNamespaceState> fresh;
  {
    MutexLock changes(changes_);
    ASHLAR_ASSIGN_OR_RETURN(const NvmeSubsystem subsystem, nvme_.Read(record.nqn));
    for (const NvmeNamespaceState& space : subsystem.namespaces)
      if (std::count(record.before.begin(), record.before.end(), space.nsid) == 0 &&
          space.size_bytes == record.size_bytes && IsDetached(space))
        fresh.push_back(space);
  }
  if (fresh.empty()) return false;  // the controller was not asked, or did not create it
  NamespaceRecord found = record;
  found.nsid = fresh.front().nsid;
  found.identity = fresh.front().identity;
  found.attached = true;
  found.created = false;  // until it is certain
  std::string doubt = "there are several like it";
  if (fresh.size() == 1) {
    ASHLAR_ASSIGN_OR_RETURN(const std::string device, Attached(context, found));
    Drive drive;
    drive.device = device;
    doubt = scanner_.BusyReason(drive);
    if (!doubt.empty()) ASHLAR_RETURN_IF_ERROR(Leave(context, found));
  }
  if (!doubt.empty()) {
    LogWarning("a namespace that an interrupted call seems to have created is left alone",
               {{"controller", record.serial}, {"nsid", found.nsid}, {"reason", doubt}});
    return false;
  }
  record = found;
  record.created = true;
  record.phase = NamespacePhase::kWiping;
  MutexLock lock(mu_);
  ASHLAR_RETURN_IF_ERROR(records_.Save(record));
  return true;
}

absl::Status NamespaceBackend::Erase(const CallContext& context, const NamespaceRecord& record) {
  const absl::StatusOr<std::string> device = Attached(context, record);
  if (absl::IsNotFound(device.status())) return absl::OkStatus();
  ASHLAR_RETURN_IF_ERROR(device.status());
  {
    MutexLock changes(changes_);
    ASHLAR_ASSIGN_OR_RETURN(const NvmeSubsystem subsystem, nvme_.Read(record.nqn));
    const NvmeNamespaceState* space = Locate(subsystem, record);
    if (space != nullptr && space->device == *device && subsystem.crypto_erases) {
      ASHLAR_RETURN_IF_ERROR(sys::ProbeExclusive(*device));
      const absl::Status erased = nvme_.CryptoErase(subsystem, *space);
      // What nobody can decrypt reads as anything; a prepared namespace shows that it is free.
      if (erased.ok()) return record.created ? absl::OkStatus() : sys::EraseSignatures(*device);
      LogWarning("a namespace is not erased by its key, so it is zeroed",
                 {{"controller", record.serial}, {"error", erased.ToString()}});
    }
  }
  return sys::ZeroDevice(context, *device, 0);
}

absl::Status NamespaceBackend::Leave(const CallContext& context, const NamespaceRecord& record) {
  MutexLock changes(changes_);
  ASHLAR_ASSIGN_OR_RETURN(NvmeSubsystem subsystem, nvme_.Read(record.nqn));
  const NvmeNamespaceState* space = Locate(subsystem, record);
  if (space == nullptr || (!record.attached && !record.created)) {
    Remember(subsystem);
    return absl::OkStatus();
  }
  if (!space->device.empty()) ASHLAR_RETURN_IF_ERROR(sys::ProbeExclusive(space->device));
  ASHLAR_RETURN_IF_ERROR(nvme_.Detach(context, subsystem, *space));
  if (record.created) ASHLAR_RETURN_IF_ERROR(nvme_.Delete(subsystem, record.nsid));
  ASHLAR_ASSIGN_OR_RETURN(subsystem, nvme_.Read(record.nqn));
  Remember(subsystem);
  return absl::OkStatus();
}

}  // namespace ashlar::node_agent
