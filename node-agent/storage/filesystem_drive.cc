#include "node-agent/storage/filesystem_drive.h"

#include <sys/mount.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "lib/base/log.h"
#include "lib/base/status_macros.h"
#include "lib/system/files.h"
#include "lib/system/mount_device.h"
#include "node-agent/storage/drive_wipe.h"

namespace ashlar::node_agent {
namespace {

bool IsClaimed(const PoolRecord& record, const Drive& drive) {
  return !record.claimed.empty() && record.claimed.front() == drive.id;
}

}  // namespace

bool FilesystemDrive::Carries(const Drive& drive) const {
  return drive.signature.type == filesystem_.type && drive.signature.uuid == uuid_;
}

std::string FilesystemDrive::Unfinished() const {
  return absl::StrCat("has a signature of ", filesystem_.type);
}

std::string FilesystemDrive::Target(const PoolRecord& record) const {
  return absl::StrCat(env_.state_dir, "/pools/", record.spec.name);
}

absl::StatusOr<std::string> FilesystemDrive::Open(const CallContext& context, PoolRecord& record,
                                                  SavePoolRecord save) {
  const std::string target = Target(record);
  if (!device_.empty()) return target;
  bool format = false;
  ASHLAR_ASSIGN_OR_RETURN(const Drive drive, ChooseDrive(record, save, format));
  if (format) ASHLAR_RETURN_IF_ERROR(FormatDrive(context, record, drive, save));
  ASHLAR_RETURN_IF_ERROR(Mount(context, drive, target));
  device_ = drive.id;
  return target;
}

absl::Status FilesystemDrive::Mount(const CallContext& context, const Drive& drive,
                                    const std::string& target) {
  ASHLAR_ASSIGN_OR_RETURN(const sys::FileStat node, sys::StatFile(drive.device));
  ASHLAR_ASSIGN_OR_RETURN(const std::vector<sys::MountEntry> mounts, env_.mounts.List());
  if (const sys::MountEntry* mount = sys::FindMount(mounts, target)) {
    if (sys::LiesOn(*mount, node.special_device)) return absl::OkStatus();
    return NotReady("MountPointBusy",
                    absl::StrCat(target, " is the mount point of ", mount->source));
  }
  const sys::MountOptions options{MS_NOATIME | MS_NODEV | MS_NOSUID | MS_NOEXEC,
                                  filesystem_.mount_data};
  return env_.mounts.MountDevice(context, drive.device, target, filesystem_.type, options);
}

absl::StatusOr<Drive> FilesystemDrive::ChooseDrive(PoolRecord& record, SavePoolRecord save,
                                                   bool& format) {
  const DeviceSource& wanted = *record.spec.devices;
  ASHLAR_ASSIGN_OR_RETURN(std::vector<Drive> drives, env_.scanner.Scan(wanted.paths));
  std::vector<Drive*> carrying, free, used;
  for (Drive& drive : drives) {
    if (!Matches(wanted, drive)) continue;
    const bool interrupted = IsClaimed(record, drive);
    if (Carries(drive) && !interrupted) {
      carrying.push_back(&drive);
    } else if (drive.busy_reason.empty() ||
               (interrupted && Carries(drive) && drive.busy_reason == Unfinished())) {
      free.insert(interrupted ? free.begin() : free.end(), &drive);
    } else {
      used.push_back(&drive);
    }
  }
  if (carrying.size() > 1)
    return NotReady("AmbiguousDrives", absl::StrCat(carrying.size(), " drives carry this pool: ",
                                                    carrying[0]->id, ", ", carrying[1]->id));
  if (!carrying.empty()) return *carrying[0];
  if (free.empty() && used.empty())
    return NotReady("NoMatchingDrive", "no drive of this node matches spec.devices");
  std::vector<std::string> refused;
  for (size_t i = 0; i < used.size() && free.empty(); ++i) {
    ASHLAR_ASSIGN_OR_RETURN(const bool wiped, WipeIfNamed(env_.scanner, record, *used[i], save));
    if (wiped) free.push_back(used[i]);
    refused.push_back(Refusal(env_.scanner, record, *used[i]));
  }
  if (free.empty())
    return NotReady("NoFreeDrive",
                    absl::StrCat("no matching drive is free: ", absl::StrJoin(refused, "; ")));
  format = true;
  return *free[0];
}

absl::Status FilesystemDrive::FormatDrive(const CallContext& context, PoolRecord& record,
                                          const Drive& drive, SavePoolRecord save) {
  const bool again = IsClaimed(record, drive);
  record.claimed = {drive.id};
  ASHLAR_RETURN_IF_ERROR(save(record));
  const std::string busy = env_.scanner.BusyReason(drive);
  if (!busy.empty() && !(again && busy == Unfinished()))
    return NotReady("NoFreeDrive", absl::StrCat(drive.id, " ", busy));
  LogInfo("formatting a free drive", {{"pool", record.spec.name}, {"drive", drive.id}});
  std::vector<std::string> argv = filesystem_.mkfs;
  if (!busy.empty()) argv.push_back("-f");
  argv.push_back(drive.device);
  ASHLAR_RETURN_IF_ERROR(sys::RunChecked(env_.commands, context, argv));
  record.claimed.clear();
  const absl::Status saved = save(record);
  // While the record says so a restarted agent formats the drive again: there may be no volumes.
  if (!saved.ok()) record.claimed = {drive.id};
  return saved;
}

// What an interrupted mkfs left would be a foreign filesystem to whoever wants the drive next.
absl::Status FilesystemDrive::EraseUnfinished(const PoolRecord& record) {
  ASHLAR_ASSIGN_OR_RETURN(const std::vector<Drive> drives,
                          env_.scanner.Scan(record.spec.devices->paths));
  for (const Drive& drive : drives)
    if (IsClaimed(record, drive) && Carries(drive) && drive.busy_reason == Unfinished())
      ASHLAR_RETURN_IF_ERROR(sys::EraseFilesystem(drive.device, filesystem_.type, uuid_));
  return absl::OkStatus();
}

absl::Status FilesystemDrive::Close(const PoolRecord& record) {
  const std::string target = Target(record);
  ASHLAR_RETURN_IF_ERROR(env_.mounts.Unmount(target));
  ASHLAR_RETURN_IF_ERROR(env_.mounts.RemoveTarget(target));
  return record.claimed.empty() ? absl::OkStatus() : EraseUnfinished(record);
}

}  // namespace ashlar::node_agent
