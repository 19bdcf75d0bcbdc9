#include "node-agent/storage/namespace/namespace_medium.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "lib/base/log.h"
#include "lib/base/status_macros.h"
#include "node-agent/storage/blank_ends.h"
#include "node-agent/storage/drain.h"
#include "node-agent/storage/drive_wipe.h"
#include "node-agent/storage/volume_uuid.h"

namespace ashlar::node_agent {
namespace {

// A subsystem as a drive that a pool may want; it goes by several paths.
bool IsWanted(const DeviceSource& wanted, const NvmeSubsystem& subsystem) {
  Drive drive;
  drive.serial = subsystem.serial;
  drive.model = subsystem.model;
  drive.transport = "nvme";
  drive.size_bytes = subsystem.capacity_bytes;
  std::vector<std::string> paths;
  for (const NvmeControllerPath& path : subsystem.controllers) paths.push_back(path.device);
  for (const NvmeNamespaceState& space : subsystem.namespaces) {
    if (subsystem.capacity_bytes == 0) drive.size_bytes += space.size_bytes;
    if (!space.device.empty()) paths.push_back(space.device);
  }
  return std::any_of(paths.begin(), paths.end(), [&](const std::string& path) {
    drive.device = path;
    return Matches(wanted, drive);
  });
}

// All namespaces of a controller have its serial.
bool IsControllerDrained(const PoolSpec& spec, const NvmeSubsystem& subsystem) {
  Drive drive;
  drive.serial = subsystem.serial;
  return IsDrained(spec, drive);
}

// By what the kernel calls it, or, while no controller has it, would call it.
bool IsNamespaceDrained(const PoolSpec& spec, const NvmeNamespaceState& space,
                        const std::vector<Drive>& drives) {
  Drive drive;
  if (!space.identity.empty()) drive.wwid = absl::StrCat("eui.", space.identity);
  if (IsDrained(spec, drive)) return true;
  return std::any_of(drives.begin(), drives.end(), [&](const Drive& shown) {
    return !space.device.empty() && shown.device == space.device && IsDrained(spec, shown);
  });
}

std::string KeyOf(const NvmeSubsystem& subsystem, const NvmeNamespaceState& space) {
  return absl::StrCat(subsystem.nqn, " ", space.nsid, " ", space.identity, " ", space.size_bytes);
}

}  // namespace

NamespaceMedium::NamespaceMedium(const PoolEnvironment& env, const PoolSpec& spec,
                                 NvmeSubsystems& nvme)
    : env_(env),
      nvme_(nvme),
      backend_(std::make_shared<NamespaceBackend>(
          env.commands, env.scanner, nvme, spec.uid,
          absl::StrCat(env.state_dir, "/namespaces/", FileStem(spec.name)),
          absl::StrCat(env.state_dir, "/pools/", FileStem(spec.name)))) {}

absl::StatusOr<NamespaceLook> NamespaceMedium::LookAtDevice(const Looker& looker,
                                                            const std::string& device) {
  ASHLAR_ASSIGN_OR_RETURN(std::vector<Drive> drives, env_.scanner.Scan({device}));
  for (Drive& drive : drives) {
    if (drive.device != device) continue;
    if (drive.busy_reason.empty()) drive.busy_reason = DataReason(device);
    const sys::Signature before = drive.signature;
    if (drive.busy_reason.empty()) return NamespaceLook{"", before};
    // Of this pool, whatever became of the record that says so, and that it was wiped before.
    if (IsVolumeUuidOf(looker.record.spec.uid, before.uuid))
      return NamespaceLook{"bears a volume whose record was lost", before};
    ASHLAR_ASSIGN_OR_RETURN(const bool wiped,
                            WipeIfNamed(env_.scanner, looker.record, drive, looker.save));
    if (wiped) return NamespaceLook{};
    // The refusal begins with the drive's id, which the namespace's number stands for.
    const std::string why = Refusal(env_.scanner, looker.record, drive);
    return NamespaceLook{why.substr(std::min(why.size(), drive.id.size() + 1)), before};
  }
  return NamespaceLook{"is not shown by the kernel as a drive"};
}

absl::StatusOr<NamespaceLook> NamespaceMedium::LookAtDetached(const Looker& looker,
                                                              const NvmeSubsystem& subsystem,
                                                              const NvmeNamespaceState& space) {
  const std::string key = KeyOf(subsystem, space);
  if (const auto known = detached_.find(key); known != detached_.end()) return known->second;
  LogInfo(
      "attaching a namespace to look at it",
      {{"pool", looker.record.spec.name}, {"controller", subsystem.serial}, {"nsid", space.nsid}});
  const auto device = nvme_.Attach(looker.context, subsystem, space);
  if (!device.ok()) return NamespaceLook{std::string(device.status().message())};
  ASHLAR_ASSIGN_OR_RETURN(const NamespaceLook look, LookAtDevice(looker, *device));
  ASHLAR_ASSIGN_OR_RETURN(const NvmeSubsystem now, nvme_.Read(subsystem.nqn));
  Drive drive;
  drive.device = *device;
  const NvmeNamespaceState* attached = now.Find(space.nsid);
  // What somebody has begun to use stays.
  if (attached != nullptr && env_.scanner.UseReason(drive).empty())
    ASHLAR_RETURN_IF_ERROR(nvme_.Detach(looker.context, now, *attached));
  detached_[key] = look;
  return look;
}

absl::StatusOr<NamespaceLook> NamespaceMedium::LookAt(const Looker& looker,
                                                      const NvmeSubsystem& subsystem,
                                                      const NvmeNamespaceState& space) {
  if (!space.usable) return NamespaceLook{"has blocks with metadata"};
  if (!space.device.empty()) return LookAtDevice(looker, space.device);
  if (!space.known)
    return NamespaceLook{"is not attached, and the controller does not tell to whom it is"};
  if (!space.attached.empty())
    return NamespaceLook{absl::StrCat("is attached to controller ", space.attached.front(),
                                      ", and this machine does not show it")};
  return LookAtDetached(looker, subsystem, space);
}

absl::StatusOr<std::vector<PoolSubsystem>> NamespaceMedium::Gather(const Looker& looker,
                                                                   NamespaceBackend::Held held) {
  const PoolSpec& spec = looker.record.spec;
  if (seen_ != spec) detached_.clear();
  seen_ = spec;
  devices_.clear();
  refused_.clear();
  waiting_.clear();
  std::vector<Drive> drives;
  if (!spec.drain.empty()) {
    ASHLAR_ASSIGN_OR_RETURN(drives, env_.scanner.Scan({}));
  }
  ASHLAR_ASSIGN_OR_RETURN(std::vector<NvmeSubsystem> all, nvme_.List());
  std::vector<PoolSubsystem> found;
  for (NvmeSubsystem& subsystem : all) {
    const bool wanted = IsWanted(*spec.devices, subsystem);
    const bool drained = IsControllerDrained(spec, subsystem);
    PoolSubsystem on{subsystem, wanted && !drained};
    bool usable = false, leaving = false;
    // Also those that are not wanted any more: one of their namespaces may be a volume.
    for (const NvmeNamespaceState& space : subsystem.namespaces) {
      const bool is_ours = held(subsystem, space);
      const bool leaves = drained || IsNamespaceDrained(spec, space, drives);
      usable = usable || is_ours;
      leaving = leaving || (is_ours && leaves);
      if (is_ours || !on.takes_volumes) continue;
      NamespaceLook look{"is named in spec.drain"};
      if (!leaves) {
        ASHLAR_ASSIGN_OR_RETURN(look, LookAt(looker, subsystem, space));
      }
      usable = usable || look.busy_reason.empty();
      on.looks[space.nsid] = look;
      if (!look.busy_reason.empty())
        refused_.push_back(absl::StrCat("namespace ", space.nsid, " of ", subsystem.name(), " ",
                                        look.busy_reason));
    }
    // What it announces is room, not what it might do.
    if (on.takes_volumes && subsystem.creates() && subsystem.capacity_bytes > 0) usable = true;
    if (on.takes_volumes && !usable && subsystem.namespaces.empty())
      refused_.push_back(
          absl::StrCat(subsystem.name(), " has no namespace and does not create any"));
    if (wanted && drained && !usable)
      refused_.push_back(absl::StrCat(subsystem.name(), " is named in spec.drain"));
    if (leaving) waiting_.push_back(subsystem.name());
    if (usable) devices_.push_back(subsystem.name());
    if (on.takes_volumes || usable) found.push_back(std::move(on));
  }
  // Looking has attached and detached.
  for (PoolSubsystem& on : found) {
    absl::StatusOr<NvmeSubsystem> now = nvme_.Read(on.subsystem.nqn);
    if (now.ok()) on.subsystem = *std::move(now);
  }
  return found;
}

absl::StatusOr<OpenedPool> NamespaceMedium::Open(const CallContext& context, PoolRecord& record,
                                                 SavePoolRecord save) {
  const Looker looker{context, record, save};
  ASHLAR_RETURN_IF_ERROR(
      backend_->Look([&](NamespaceBackend::Held held) { return Gather(looker, held); },
                     record.spec.reserve_bytes));
  OpenedPool pool{backend_, devices_};
  TellWaiting(waiting_, pool);
  if (!devices_.empty()) return pool;
  if (refused_.empty())
    return NotReady("NoMatchingDrive", "no NVMe controller of this node matches spec.devices");
  return NotReady("NoFreeDrive", absl::StrCat("no namespace of the matching controllers is free: ",
                                              absl::StrJoin(refused_, "; ")));
}

}  // namespace ashlar::node_agent
