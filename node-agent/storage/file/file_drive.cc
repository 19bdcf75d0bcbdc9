#include "node-agent/storage/file/file_drive.h"

#include <sys/mount.h>
#include <sys/sysmacros.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "lib/base/log.h"
#include "lib/base/status_macros.h"
#include "lib/system/files.h"
#include "node-agent/storage/drive_wipe.h"

namespace ashlar::node_agent {
namespace {

// How the scanner calls a drive that nobody uses and that bears what mkfs.xfs left.
constexpr char kUnfinished[] = "has a signature of xfs";

bool IsClaimed(const PoolRecord& record, const Drive& drive) {
  return !record.claimed.empty() && record.claimed.front() == drive.id;
}

}  // namespace

bool FileDrive::Carries(const Drive& drive) const {
  return drive.signature.type == "xfs" && drive.signature.uuid == uuid_;
}

std::string FileDrive::Target(const PoolRecord& record) const {
  return absl::StrCat(env_.state_dir, "/pools/", record.spec.name);
}

absl::StatusOr<OpenedPool> FileDrive::Open(const CallContext& context, PoolRecord& record,
                                           SavePoolRecord save) {
  const std::string target = Target(record);
  if (!root_.is_open()) {
    bool format = false;
    ASHLAR_ASSIGN_OR_RETURN(const Drive drive, ChooseDrive(record, save, format));
    if (format) ASHLAR_RETURN_IF_ERROR(FormatDrive(context, record, drive, save));
    ASHLAR_RETURN_IF_ERROR(Mount(context, drive, target));
    device_ = drive.id;
  }
  ASHLAR_ASSIGN_OR_RETURN(const std::shared_ptr<FileBackend> backend,
                          root_.Open(record.spec, target));
  return OpenedPool{backend, {device_}};
}

absl::Status FileDrive::Mount(const CallContext& context, const Drive& drive,
                              const std::string& target) {
  ASHLAR_ASSIGN_OR_RETURN(const sys::FileStat node, sys::StatFile(drive.device));
  ASHLAR_ASSIGN_OR_RETURN(const std::vector<sys::MountEntry> mounts, env_.mounts.List());
  if (const sys::MountEntry* mount = sys::FindMount(mounts, target)) {
    if (makedev(mount->major, mount->minor) == node.special_device) return absl::OkStatus();
    return NotReady("MountPointBusy",
                    absl::StrCat(target, " is the mount point of ", mount->source));
  }
  const sys::MountOptions options{MS_NOATIME | MS_NODEV | MS_NOSUID | MS_NOEXEC, ""};
  return env_.mounts.MountDevice(context, drive.device, target, "xfs", options);
}

absl::StatusOr<Drive> FileDrive::ChooseDrive(PoolRecord& record, SavePoolRecord save,
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
               (interrupted && Carries(drive) && drive.busy_reason == kUnfinished)) {
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

absl::Status FileDrive::FormatDrive(const CallContext& context, PoolRecord& record,
                                    const Drive& drive, SavePoolRecord save) {
  const bool again = IsClaimed(record, drive);
  record.claimed = {drive.id};
  ASHLAR_RETURN_IF_ERROR(save(record));
  const std::string busy = env_.scanner.BusyReason(drive);
  if (!busy.empty() && !(again && busy == kUnfinished))
    return NotReady("NoFreeDrive", absl::StrCat(drive.id, " ", busy));
  LogInfo("formatting a free drive", {{"pool", record.spec.name}, {"drive", drive.id}});
  // Without -f mkfs.xfs itself refuses a device that bears any signature.
  std::vector<std::string> argv = {"mkfs.xfs", "-q", "-L",
                                   "ashlar",   "-m", absl::StrCat("reflink=1,uuid=", uuid_)};
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
absl::Status FileDrive::EraseUnfinished(const PoolRecord& record) {
  ASHLAR_ASSIGN_OR_RETURN(const std::vector<Drive> drives,
                          env_.scanner.Scan(record.spec.devices->paths));
  for (const Drive& drive : drives)
    if (IsClaimed(record, drive) && Carries(drive) && drive.busy_reason == kUnfinished)
      ASHLAR_RETURN_IF_ERROR(sys::EraseFilesystem(drive.device, "xfs", uuid_));
  return absl::OkStatus();
}

absl::Status FileDrive::Close(const CallContext&, const PoolRecord& record) {
  const std::string target = Target(record);
  ASHLAR_RETURN_IF_ERROR(env_.mounts.Unmount(target));
  ASHLAR_RETURN_IF_ERROR(env_.mounts.RemoveTarget(target));
  return record.claimed.empty() ? absl::OkStatus() : EraseUnfinished(record);
}

}  // namespace ashlar::node_agent
