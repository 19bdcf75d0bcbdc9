#include "node-agent/storage/namespace/namespace_backend.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "lib/base/log.h"
#include "lib/base/status_macros.h"
#include "lib/system/block_probe.h"
#include "lib/system/files.h"
#include "lib/system/links.h"
#include "node-agent/storage/volume_uuid.h"

namespace ashlar::node_agent {

using sys::Durability;

NamespacePool NamespaceBackend::Pool() {
  return {subsystems_, records_, reserve_bytes_, clock_.Now()};
}

std::string NamespaceBackend::LinkOf(const std::string& id) const {
  return absl::StrCat(links_, "/", FileStem(id));
}

std::string NamespaceBackend::UuidOf(const std::string& id) const {
  return VolumeUuid(pool_uid_, id);
}

PoolSubsystem* NamespaceBackend::Known(const std::string& nqn) {
  for (PoolSubsystem& on : subsystems_)
    if (on.subsystem.nqn == nqn) return &on;
  return nullptr;
}

void NamespaceBackend::Remember(const NvmeSubsystem& subsystem) {
  MutexLock lock(mu_);
  if (PoolSubsystem* known = Known(subsystem.nqn)) known->subsystem = subsystem;
}

absl::Status NamespaceBackend::Remember(const NvmeSubsystem& subsystem,
                                        const NamespaceRecord& record) {
  MutexLock lock(mu_);
  if (PoolSubsystem* known = Known(subsystem.nqn)) known->subsystem = subsystem;
  return records_.Save(record);
}

absl::Status NamespaceBackend::Look(Gather gather, int64_t reserve_bytes) {
  ASHLAR_RETURN_IF_ERROR(sys::EnsureDirectory(links_, 0700));
  MutexLock changes(changes_);
  {
    MutexLock lock(mu_);
    if (!loaded_) ASHLAR_RETURN_IF_ERROR(records_.Load());
    loaded_ = true;
  }
  const auto held = [this](const NvmeSubsystem& subsystem, const NvmeNamespaceState& space) {
    MutexLock lock(mu_);
    return records_.Of(subsystem, space) != nullptr;
  };
  ASHLAR_ASSIGN_OR_RETURN(std::vector<PoolSubsystem> found, gather(held));
  MutexLock lock(mu_);
  subsystems_ = std::move(found);
  reserve_bytes_ = reserve_bytes;
  for (const auto& [id, record] : records_.all())
    if (record.phase != NamespacePhase::kVolume && working_.count(id) == 0 &&
        Known(record.nqn) != nullptr)
      wipes_.Start(id, WipeOf(id));
  return LinkVolumes();
}

absl::Status NamespaceBackend::LinkVolumes() {
  std::set<std::string> linked;
  for (const auto& [id, record] : records_.all()) {
    const PoolSubsystem* on = Known(record.nqn);
    const NvmeNamespaceState* space = on == nullptr ? nullptr : on->subsystem.Find(record.nsid);
    if (record.phase != NamespacePhase::kVolume || space == nullptr ||
        space->identity != record.identity || space->device.empty())
      continue;
    ASHLAR_RETURN_IF_ERROR(sys::EnsureLink(space->device, LinkOf(id)));
    linked.insert(FileStem(id));
  }
  // What these led to may be another namespace by now.
  ASHLAR_ASSIGN_OR_RETURN(const std::vector<std::string> names, sys::ListDirectory(links_));
  for (const std::string& name : names)
    if (linked.count(name) == 0)
      ASHLAR_RETURN_IF_ERROR(
          sys::RemoveFile(absl::StrCat(links_, "/", name), Durability::kProcessCrash));
  return absl::OkStatus();
}

std::set<std::string> NamespaceBackend::Holding() {
  MutexLock lock(mu_);
  std::set<std::string> nqns;
  for (const auto& [id, record] : records_.all()) nqns.insert(record.nqn);
  return nqns;
}

bool NamespaceBackend::HoldsDevice(const std::string& device) {
  MutexLock lock(mu_);
  for (const PoolSubsystem& on : subsystems_)
    for (const NvmeNamespaceState& space : on.subsystem.namespaces)
      if (!device.empty() && space.device == device)
        return records_.Of(on.subsystem, space) != nullptr;
  return false;
}

absl::StatusOr<PoolUsage> NamespaceBackend::Usage() {
  MutexLock lock(mu_);
  return UsageOf(Pool());
}

absl::StatusOr<StoredVolume> NamespaceBackend::Describe(const NamespaceRecord& record) {
  const PoolSubsystem* on = Known(record.nqn);
  const NvmeNamespaceState* space = on == nullptr ? nullptr : on->subsystem.Find(record.nsid);
  if (space == nullptr || space->identity != record.identity)
    return absl::UnavailableError(absl::StrCat("namespace ", record.nsid, " of ", record.serial,
                                               ", which is volume ", record.facts.id,
                                               ", is not there"));
  StoredVolume volume;
  volume.facts = record.facts;
  volume.size_bytes = record.size_bytes;
  volume.path = LinkOf(record.facts.id);
  volume.form = VolumeForm::kDevice;
  volume.extents = 1;
  volume.discard = true;
  volume.drive = on->subsystem.name();
  return volume;
}

absl::StatusOr<NamespaceRecord> NamespaceBackend::FindVolume(const std::string& id) {
  const NamespaceRecord* record = records_.Find(id);
  if (record == nullptr || record->phase != NamespacePhase::kVolume)
    return absl::NotFoundError(absl::StrCat("there is no volume ", id));
  return *record;
}

absl::StatusOr<StoredVolume> NamespaceBackend::Find(const std::string& id) {
  MutexLock lock(mu_);
  ASHLAR_ASSIGN_OR_RETURN(const NamespaceRecord record, FindVolume(id));
  return Describe(record);
}

absl::StatusOr<std::vector<StoredVolume>> NamespaceBackend::List() {
  MutexLock lock(mu_);
  std::vector<StoredVolume> volumes;
  for (const auto& [id, record] : records_.all()) {
    if (record.phase != NamespacePhase::kVolume) continue;
    absl::StatusOr<StoredVolume> volume = Describe(record);
    if (volume.ok()) volumes.push_back(*std::move(volume));
  }
  return volumes;
}

absl::StatusOr<StoredVolume> NamespaceBackend::Grow(const CallContext&, const std::string& id,
                                                    int64_t) {
  ASHLAR_ASSIGN_OR_RETURN(const StoredVolume volume, Find(id));
  return absl::UnimplementedError(absl::StrCat("volume ", id, " is a namespace of ",
                                               volume.size_bytes, " bytes and cannot grow"));
}

absl::StatusOr<StoredVolume> NamespaceBackend::Prepare(const CallContext& context,
                                                       const std::string& id) {
  NamespaceRecord record;
  {
    MutexLock lock(mu_);
    ASHLAR_ASSIGN_OR_RETURN(record, FindVolume(id));
  }
  ASHLAR_ASSIGN_OR_RETURN(const std::string device, Attached(context, record));
  if (record.facts.mode == VolumeMode::kFilesystem) {
    ASHLAR_ASSIGN_OR_RETURN(const sys::Signature signature, sys::ProbeSignature(device));
    if (signature.uuid != UuidOf(id))
      return absl::DataLossError(
          absl::StrCat(device, " does not bear the filesystem of volume ", id));
  }
  MutexLock lock(mu_);
  ASHLAR_RETURN_IF_ERROR(sys::EnsureLink(device, LinkOf(id)));
  return Describe(record);
}

absl::Status NamespaceBackend::Remove(const CallContext& context, const std::string& id) {
  {
    MutexLock lock(mu_);
    const NamespaceRecord* record = records_.Find(id);
    if (record == nullptr) return absl::OkStatus();
    if (Known(record->nqn) == nullptr)
      return absl::UnavailableError(absl::StrCat("controller ", record->serial, " of volume ", id,
                                                 " is not there, so it cannot be wiped"));
    ASHLAR_RETURN_IF_ERROR(sys::RemoveFile(LinkOf(id), Durability::kProcessCrash));
    if (record->phase == NamespacePhase::kVolume) {
      NamespaceRecord wiping = *record;
      wiping.phase = NamespacePhase::kWiping;
      ASHLAR_RETURN_IF_ERROR(records_.Save(wiping));
    }
  }
  return wipes_.Run(context, id, WipeOf(id));
}

}  // namespace ashlar::node_agent
