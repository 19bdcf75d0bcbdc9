#include "node-agent/storage/lvm/lvm_drain.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "lib/base/log.h"
#include "lib/base/status_macros.h"
#include "lib/system/block_device.h"

namespace ashlar::node_agent {
namespace {

// LVM's own metadata come first, then the extents of volumes.
constexpr int64_t kFirstExtent = 16 * kMiB;

int64_t FreeElsewhere(const VolumeGroup& group) {
  int64_t extents = 0;
  for (const PhysicalVolume& pv : group.pvs)
    if (pv.allocatable && !pv.missing) extents += pv.extents - pv.used_extents;
  return extents;
}

std::vector<std::string> DevicesOf(const std::vector<Drive>& drives) {
  std::vector<std::string> devices;
  for (const Drive& drive : drives) devices.push_back(drive.device);
  return devices;
}

}  // namespace

std::string DrainState(const VolumeGroup& group, const Drive& drive) {
  const std::string& name = drive.serial.empty() ? drive.id : drive.serial;
  const PhysicalVolume* pv = group.FindDrive(drive.device);
  if (pv == nullptr) return absl::StrCat(name, " has left and is being zeroed");
  const int64_t used = pv->used_extents * group.extent_bytes / kMiB;
  if (group.pvs.size() == 1)
    return absl::StrCat(name, " is the pool's only drive and stays; ", used,
                        " MiB of volumes are on it");
  const int64_t free = FreeElsewhere(group) * group.extent_bytes / kMiB;
  std::string state = absl::StrCat(used, " MiB are still to be moved off ", name);
  if (free < used && group.Find(kMove) == nullptr)
    absl::StrAppend(&state, ", and ", free, " MiB are free on the other drives");
  return state;
}

void LvmDrain::Stop() {
  if (!thread_.joinable()) return;
  thread_.request_stop();
  thread_.join();
  devices_.clear();
}

std::string LvmDrain::Problem() {
  MutexLock lock(mu_);
  return problem_;
}

bool LvmDrain::IsRunning() {
  MutexLock lock(mu_);
  return running_;
}

void LvmDrain::Keep(const std::vector<Drive>& drives) {
  if (DevicesOf(drives) != devices_) Stop();
}

void LvmDrain::SetDrives(const std::vector<Drive>& drives) {
  std::vector<std::string> devices = DevicesOf(drives);
  if (IsRunning() && devices == devices_) return;
  Stop();
  {
    MutexLock lock(mu_);
    if (devices.empty()) problem_.clear();
    running_ = !devices.empty();
  }
  if (devices.empty()) return;
  devices_ = std::move(devices);
  thread_ = std::jthread([this, all = devices_](const std::stop_token& stop) { Run(stop, all); });
}

void LvmDrain::Run(const std::stop_token& stop, const std::vector<std::string>& devices) {
  CallContext context;
  context.stop = stop;
  std::string problem;
  for (const std::string& device : devices) {
    const absl::Status drained = Drain(context, device);
    if (!drained.ok() && !absl::IsCancelled(drained)) problem = std::string(drained.message());
  }
  MutexLock lock(mu_);
  if (!problem.empty() && problem != problem_)
    LogWarning("a drive cannot be drained now", {{"group", group_}, {"error", problem}});
  problem_ = problem;
  running_ = false;
}

absl::Status LvmDrain::Drain(const CallContext& context, const std::string& device) {
  while (!context.stop.stop_requested()) {
    ASHLAR_ASSIGN_OR_RETURN(const bool left, Step(device));
    if (left) return GiveBack(context, device);
  }
  return absl::CancelledError("the drive is not to be drained any more");
}

absl::StatusOr<bool> LvmDrain::Step(const std::string& device) {
  ASHLAR_ASSIGN_OR_RETURN(const VolumeGroup group, lvm_->Report(group_));
  const PhysicalVolume* pv = group.FindDrive(device);
  if (pv == nullptr) return true;
  if (group.missing_drives()) return absl::UnavailableError("a drive of the pool is missing");
  if (group.Find(kMove) != nullptr) {  // begun before
    ASHLAR_RETURN_IF_ERROR(lvm_->RunPiece({"pvmove", "--interval", "1"}));
    return false;
  }
  if (pv->used_extents == 0) {
    if (group.pvs.size() == 1) return absl::FailedPreconditionError("the pool has no other drive");
    ASHLAR_RETURN_IF_ERROR(lvm_->Run({"vgreduce", group_, device}));
    return true;
  }
  std::vector<std::string> argv = {"pvmove", "--interval", "1"};
  // One after the other, so that the others can be changed; then what belongs to none.
  const std::vector<std::string> volumes = group.VolumesOn(device);
  if (!volumes.empty()) argv.insert(argv.end(), {"--name", volumes[0]});
  argv.push_back(device);
  LogInfo("moving extents off a drive",
          {{"group", group_}, {"drive", device}, {"extents", pv->used_extents}});
  ASHLAR_RETURN_IF_ERROR(lvm_->RunPiece(argv));
  return false;
}

absl::Status LvmDrain::GiveBack(const CallContext& context, const std::string& device) {
  // What was moved is still on it.
  ASHLAR_RETURN_IF_ERROR(sys::ZeroDevice(context, device, kFirstExtent));
  LvmTool lvm(commands_, lock_dir_);
  lvm.SetDevices({device});
  ASHLAR_RETURN_IF_ERROR(lvm.Run({"pvremove", device}));
  LogInfo("gave a drained drive back", {{"group", group_}, {"drive", device}});
  return absl::OkStatus();
}

}  // namespace ashlar::node_agent
