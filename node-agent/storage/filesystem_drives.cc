#include "node-agent/storage/filesystem_drives.h"

#include <sys/mount.h>

#include <algorithm>
#include <map>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "lib/base/log.h"
#include "lib/base/status_macros.h"
#include "lib/system/block_probe.h"
#include "lib/system/files.h"
#include "lib/system/mount_device.h"
#include "node-agent/storage/drain.h"
#include "node-agent/storage/drive_wipe.h"

namespace ashlar::node_agent {
namespace {

bool Contains(const std::vector<std::string>& ids, const std::string& id) {
  return std::find(ids.begin(), ids.end(), id) != ids.end();
}

void Add(std::vector<std::string>& ids, const std::string& id) {
  if (!Contains(ids, id)) ids.push_back(id);
}

}  // namespace

std::string FilesystemDrives::FirstUuid() const { return FilesystemUuid(uid_); }

std::string FilesystemDrives::FurtherUuid(const std::string& drive_id) const {
  return FilesystemUuid(absl::StrCat(uid_, " on ", drive_id));
}

bool FilesystemDrives::Carries(const Drive& drive) const {
  const sys::Signature& signature = drive.signature;
  return signature.type == filesystem_.type &&
         (signature.uuid == FirstUuid() || signature.uuid == FurtherUuid(drive.id));
}

std::string FilesystemDrives::Unfinished() const {
  return absl::StrCat("has a signature of ", filesystem_.type);
}

std::string FilesystemDrives::FirstTarget(const PoolRecord& record) const {
  return absl::StrCat(env_.state_dir, "/pools/", record.spec.name);
}

std::string FilesystemDrives::FurtherTarget(const PoolRecord& record,
                                            const std::string& drive_id) const {
  // A plus sign occurs in no name of a pool.
  return absl::StrCat(FirstTarget(record), "+", FileStem(drive_id));
}

std::string FilesystemDrives::Target(const PoolRecord& record, const Drive& drive) const {
  return drive.signature.uuid == FirstUuid() ? FirstTarget(record)
                                             : FurtherTarget(record, drive.id);
}

absl::StatusOr<FilesystemDrives::Found> FilesystemDrives::Look(PoolRecord& record,
                                                               SavePoolRecord save) {
  const DeviceSource& wanted = *record.spec.devices;
  ASHLAR_ASSIGN_OR_RETURN(std::vector<Drive> all, env_.scanner.Scan(wanted.paths));
  Found found;
  std::map<std::string, std::string> filesystems;  // ids of drives by UUID
  for (Drive& drive : all) {
    const bool unfinished = Contains(record.claimed, drive.id);
    const bool takes = TakesVolumes(record.spec, drive);
    if (Carries(drive) && !unfinished) {
      const auto [other, first] = filesystems.emplace(drive.signature.uuid, drive.id);
      if (!first)
        return NotReady("AmbiguousDrives",
                        absl::StrCat("2 drives carry this pool: ", other->second, ", ", drive.id));
      found.carrying.push_back(std::move(drive));
    } else if (takes && (drive.busy_reason.empty() ||
                         (unfinished && Carries(drive) && drive.busy_reason == Unfinished()))) {
      // What was begun is ended before anything else is touched.
      found.free.insert(unfinished ? found.free.begin() : found.free.end(), std::move(drive));
    } else if (takes) {
      ASHLAR_ASSIGN_OR_RETURN(const bool wiped, WipeIfNamed(env_.scanner, record, drive, save));
      if (wiped)
        found.free.push_back(std::move(drive));
      else
        found.refused.push_back(Refusal(env_.scanner, record, drive));
    } else if (Matches(wanted, drive)) {
      found.refused.push_back(DrainRefusal(drive));
    }
  }
  return found;
}

absl::StatusOr<Drive> FilesystemDrives::Format(const CallContext& context, PoolRecord& record,
                                               Drive drive, bool first, SavePoolRecord save) {
  const bool again = Contains(record.claimed, drive.id);
  Add(record.claimed, drive.id);
  ASHLAR_RETURN_IF_ERROR(save(record));
  const std::string busy = env_.scanner.BusyReason(drive);
  if (!busy.empty() && !(again && busy == Unfinished()))
    return NotReady("NoFreeDrive", absl::StrCat(drive.id, " ", busy));
  const std::string uuid = first ? FirstUuid() : FurtherUuid(drive.id);
  LogInfo("formatting a free drive", {{"pool", record.spec.name}, {"drive", drive.id}});
  std::vector<std::string> argv = filesystem_.mkfs(uuid);
  if (!busy.empty()) argv.push_back("-f");
  argv.push_back(drive.device);
  ASHLAR_RETURN_IF_ERROR(sys::RunChecked(env_.commands, context, argv));
  std::erase(record.claimed, drive.id);
  Add(record.members, drive.id);
  const absl::Status saved = save(record);
  // While the record says so a restarted agent formats the drive again: there may be no volumes.
  if (!saved.ok()) {
    record.claimed.push_back(drive.id);
    return saved;
  }
  drive.signature.type = filesystem_.type;
  drive.signature.uuid = uuid;
  return drive;
}

absl::Status FilesystemDrives::Mount(const CallContext& context, const Drive& drive,
                                     const std::string& target) {
  ASHLAR_ASSIGN_OR_RETURN(const sys::FileStat node, sys::StatFile(drive.device));
  ASHLAR_ASSIGN_OR_RETURN(const std::vector<sys::MountEntry> mounts, env_.mounts.List());
  if (const sys::MountEntry* mount = sys::FindMount(mounts, target)) {
    if (sys::LiesOn(*mount, node.special_device)) return absl::OkStatus();
    if (sys::HasDevice(*mount))
      return NotReady("MountPointBusy",
                      absl::StrCat(target, " is the mount point of ", mount->source));
    LogWarning("a drive is back: its old mount is dead", {{"drive", drive.id}, {"target", target}});
    ASHLAR_RETURN_IF_ERROR(sys::DetachMount(target));
  }
  sys::MountOptions options{MS_NOATIME | MS_NODEV | MS_NOSUID | MS_NOEXEC, filesystem_.mount_data};
  const absl::Status mounted =
      env_.mounts.MountDevice(context, drive.device, target, filesystem_.type, options);
  if (filesystem_.type != "xfs" || !absl::IsInternal(mounted)) return mounted;
  // Volumes in use keep a filesystem alive whose drive went, and XFS mounts no second one of its
  // UUID. That no other drive bears it Look has seen.
  absl::StrAppend(&options.data, options.data.empty() ? "" : ",", "nouuid");
  const absl::Status again =
      env_.mounts.MountDevice(context, drive.device, target, filesystem_.type, options);
  return again.ok() ? again : mounted;
}

absl::StatusOr<MountedDrives> FilesystemDrives::Open(const CallContext& context, PoolRecord& record,
                                                     SavePoolRecord save) {
  ASHLAR_ASSIGN_OR_RETURN(Found found, Look(record, save));
  for (Drive& drive : found.free) {
    const bool first = found.carrying.empty() && record.members.empty();
    absl::StatusOr<Drive> formatted = Format(context, record, drive, first, save);
    if (formatted.ok())
      found.carrying.push_back(*std::move(formatted));
    else
      found.refused.push_back(absl::StrCat(drive.id, " ", MessageOf(formatted.status())));
  }
  MountedDrives mounted;
  mounted.missing = record.members;
  const std::vector<std::string> known = record.members;
  for (const Drive& drive : found.carrying) {
    const std::string target = Target(record, drive);
    ASHLAR_RETURN_IF_ERROR(Mount(context, drive, target));
    mounted.drives.push_back({drive.id, target, TakesVolumes(record.spec, drive)});
    std::erase(mounted.missing, drive.id);
    Add(record.members, drive.id);
  }
  if (record.members != known) ASHLAR_RETURN_IF_ERROR(save(record));
  if (!mounted.drives.empty()) return mounted;
  if (!mounted.missing.empty())
    return NotReady("DrivesMissing", absl::StrCat("no drive of the pool is there; it lies on ",
                                                  absl::StrJoin(mounted.missing, ", ")));
  if (found.refused.empty())
    return NotReady("NoMatchingDrive", "no drive of this node matches spec.devices");
  return NotReady("NoFreeDrive",
                  absl::StrCat("no matching drive is free: ", absl::StrJoin(found.refused, "; ")));
}

absl::Status FilesystemDrives::Erase(const Drive& drive) {
  return sys::EraseFilesystem(drive.device, filesystem_.type, drive.signature.uuid);
}

absl::Status FilesystemDrives::Release(PoolRecord& record, const std::string& drive_id,
                                       SavePoolRecord save) {
  ASHLAR_ASSIGN_OR_RETURN(const std::vector<Drive> drives,
                          env_.scanner.Scan(record.spec.devices->paths));
  for (const Drive& drive : drives) {
    if (drive.id != drive_id || !Carries(drive)) continue;
    LogInfo("giving an empty drive back", {{"pool", record.spec.name}, {"drive", drive.id}});
    const std::string target = Target(record, drive);
    ASHLAR_RETURN_IF_ERROR(env_.mounts.Unmount(target));
    ASHLAR_RETURN_IF_ERROR(env_.mounts.RemoveTarget(target));
    ASHLAR_RETURN_IF_ERROR(Erase(drive));
  }
  std::erase(record.members, drive_id);
  return save(record);
}

absl::Status FilesystemDrives::Close(const PoolRecord& record) {
  ASHLAR_ASSIGN_OR_RETURN(const std::vector<Drive> drives,
                          env_.scanner.Scan(record.spec.devices->paths));
  for (const Drive& drive : drives) {
    if (!Carries(drive)) continue;
    const std::string target = Target(record, drive);
    ASHLAR_RETURN_IF_ERROR(env_.mounts.Unmount(target));
    ASHLAR_RETURN_IF_ERROR(env_.mounts.RemoveTarget(target));
    // An unfinished one would be a foreign filesystem to whoever wants the drive next.
    if (Contains(record.claimed, drive.id) && drive.busy_reason == Unfinished())
      ASHLAR_RETURN_IF_ERROR(Erase(drive));
  }
  return DetachDead(record);
}

absl::Status FilesystemDrives::DetachDead(const PoolRecord& record) {
  std::vector<std::string> targets = {FirstTarget(record)};
  for (const std::string& id : record.members) targets.push_back(FurtherTarget(record, id));
  ASHLAR_ASSIGN_OR_RETURN(const std::vector<sys::MountEntry> mounts, env_.mounts.List());
  for (const std::string& target : targets) {
    const sys::MountEntry* mount = sys::FindMount(mounts, target);
    if (mount == nullptr || sys::HasDevice(*mount)) continue;
    ASHLAR_RETURN_IF_ERROR(sys::DetachMount(target));
    ASHLAR_RETURN_IF_ERROR(env_.mounts.RemoveTarget(target));
  }
  return absl::OkStatus();
}

}  // namespace ashlar::node_agent
