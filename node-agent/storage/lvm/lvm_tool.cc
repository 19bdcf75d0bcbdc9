#include "node-agent/storage/lvm/lvm_tool.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "lib/base/status_macros.h"
#include "lib/system/files.h"

namespace ashlar::node_agent {
namespace {

constexpr char kPvFields[] =
    "pv_name,pv_uuid,pv_missing,pv_allocatable,pv_pe_count,pv_pe_alloc_count,vg_name,vg_tags";
constexpr char kVgFields[] = "vg_name,vg_uuid,vg_extent_size,vg_tags";
constexpr char kLvFields[] =
    "lv_name,lv_uuid,lv_size,lv_tags,lv_kernel_minor,lv_permissions,lv_health_status,lv_layout,"
    "pool_lv,"
    "data_percent,metadata_percent,lv_metadata_size";

// One setting each: the file of hints and the archive of metadata would be written below /etc and
// /run; dmeventd and lvmpolld would be daemons of this container that outlive it; the cookies by
// which LVM waits for udev are semaphores, which udev cannot see from outside the container.
std::string Settings(const std::string& lock_dir) {
  return absl::StrCat(
      "devices { hints=\"none\" use_devicesfile=0 } "
      "backup { backup=0 archive=0 } "
      "activation { monitoring=0 udev_sync=0 udev_rules=0 thin_pool_autoextend_threshold=100 "
      "raid_fault_policy=\"warn\" } "
      "global { notify_dbus=0 use_lvmpolld=0 event_activation=0 locking_dir=\"",
      lock_dir, "\" }");
}

}  // namespace

void LvmTool::SetDevices(std::vector<std::string> devices) {
  MutexLock lock(mu_);
  devices_ = std::move(devices);
}

std::vector<std::string> LvmTool::Devices() {
  MutexLock lock(mu_);
  return devices_;
}

absl::StatusOr<sys::CommandResult> LvmTool::Start(const std::vector<std::string>& before,
                                                  const std::vector<std::string>& argv,
                                                  const std::vector<std::string>& devices) {
  ASHLAR_RETURN_IF_ERROR(sys::EnsureDirectory(lock_dir_, 0700));
  std::vector<std::string> all = before;
  all.insert(all.end(), {"lvm", argv[0], "--config", Settings(lock_dir_), "--devices",
                         absl::StrJoin(devices, ",")});
  all.insert(all.end(), argv.begin() + 1, argv.end());
  return commands_.Run({}, all);
}

absl::StatusOr<std::string> LvmTool::Output(const std::vector<std::string>& argv,
                                            const std::vector<std::string>& devices) {
  ASHLAR_ASSIGN_OR_RETURN(const sys::CommandResult result, Start({}, argv, devices));
  // The settings say nothing to who reads the error.
  std::vector<std::string> shown = argv;
  shown.insert(shown.begin(), "lvm");
  ASHLAR_RETURN_IF_ERROR(sys::ExpectSuccess(shown, result));
  return result.out;
}

absl::Status LvmTool::RunPiece(const std::vector<std::string>& argv) {
  // While LVM holds the group's lock, and may have suspended a device, it blocks this signal.
  ASHLAR_ASSIGN_OR_RETURN(const sys::CommandResult result,
                          Start({"timeout", "-s", "TERM", "10"}, argv, Devices()));
  constexpr int kTimedOut = 124, kTerminated = 143;  // of coreutils; of busybox
  if (result.exit_code == kTimedOut || result.exit_code == kTerminated) return absl::OkStatus();
  return sys::ExpectSuccess(argv, result);
}

absl::Status LvmTool::Run(const std::vector<std::string>& argv) {
  return Output(argv, Devices()).status();
}

absl::StatusOr<VolumeGroup> LvmTool::Report(const std::string& group) {
  const std::vector<std::string> argv = {"fullreport",
                                         "--reportformat",
                                         "json",
                                         "--units",
                                         "b",
                                         "--nosuffix",
                                         "--all",
                                         "--configreport",
                                         "vg",
                                         "-o",
                                         kVgFields,
                                         "--configreport",
                                         "pv",
                                         "-o",
                                         kPvFields,
                                         "--configreport",
                                         "lv",
                                         "-o",
                                         kLvFields,
                                         "--configreport",
                                         "seg",
                                         "-o",
                                         "lv_name,seg_pe_ranges,thin_id",
                                         "--configreport",
                                         "pvseg",
                                         "-o",
                                         "pvseg_start",
                                         group};
  ASHLAR_ASSIGN_OR_RETURN(const std::string text, Output(argv, Devices()));
  return ParseGroup(text);
}

absl::StatusOr<std::vector<PhysicalVolume>> LvmTool::Identify(
    const std::vector<std::string>& devices) {
  if (devices.empty()) return std::vector<PhysicalVolume>{};
  ASHLAR_ASSIGN_OR_RETURN(
      const std::string text,
      Output({"pvs", "--reportformat", "json", "--units", "b", "--nosuffix", "-o", kPvFields},
             devices));
  return ParsePhysicalVolumes(text);
}

}  // namespace ashlar::node_agent
