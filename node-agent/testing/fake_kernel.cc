#include "node-agent/testing/fake_kernel.h"

#include <sys/mount.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "lib/base/status_macros.h"

namespace ashlar::node_agent {
namespace {

constexpr uint32_t kLoopMajor = 7;

}  // namespace

FakeKernel::FakeKernel()
    : state_(std::make_shared<State>()), failures_(std::make_unique<Failures>()) {}

bool FakeKernel::State::InUse(const std::string& device) {
  // A device node that is bound somewhere does not keep its device.
  return held.count(device) > 0 || std::any_of(mounts.begin(), mounts.end(), [&](const Mount& m) {
           return m.device == device && !m.is_node;
         });
}

void FakeKernel::State::ClearUnused(const std::string& device) {
  const auto it = devices.find(device);
  if (it != devices.end() && it->second.auto_clear && !InUse(device)) devices.erase(it);
}

absl::StatusOr<sys::HeldLoopDevice> FakeKernel::Loops::Attach(const CallContext&,
                                                              const std::string& file,
                                                              const sys::LoopOptions& options) {
  ASHLAR_RETURN_IF_ERROR(kernel_.failures_->Take("Attach"));
  ASHLAR_ASSIGN_OR_RETURN(const sys::FileStat stat, sys::StatFile(file));
  const std::shared_ptr<State> state = kernel_.state_;
  MutexLock lock(state->mu);
  const uint32_t number = state->next_device++;
  sys::LoopDevice device{absl::StrCat("/dev/loop", number),
                         options.label,
                         stat.identity,
                         kLoopMajor,
                         number,
                         true,
                         options.auto_clear};
  state->devices[device.path] = device;
  state->held.insert(device.path);
  std::shared_ptr<sys::UniqueFd> hold(new sys::UniqueFd(),
                                      [state, path = device.path](sys::UniqueFd* fd) {
                                        delete fd;
                                        MutexLock relock(state->mu);
                                        state->held.erase(state->held.find(path));
                                        state->ClearUnused(path);
                                      });
  return sys::HeldLoopDevice{std::move(device), std::move(hold)};
}

absl::StatusOr<std::vector<sys::LoopDevice>> FakeKernel::Loops::List() {
  MutexLock lock(kernel_.state_->mu);
  std::vector<sys::LoopDevice> all;
  for (const auto& [path, device] : kernel_.state_->devices)
    if (kernel_.state_->lost.count(path) == 0) all.push_back(device);
  return all;
}

absl::StatusOr<sys::LoopDevice> FakeKernel::Loops::Inspect(const std::string& device) {
  MutexLock lock(kernel_.state_->mu);
  const auto it = kernel_.state_->devices.find(device);
  if (it == kernel_.state_->devices.end())
    return absl::NotFoundError(absl::StrCat(device, " is not attached"));
  if (kernel_.state_->lost.count(device) > 0)
    return absl::InternalError(absl::StrCat("state of ", device, ": Input/output error"));
  return it->second;
}

absl::Status FakeKernel::Loops::UpdateCapacity(const std::string& device) {
  ASHLAR_RETURN_IF_ERROR(kernel_.failures_->Take("UpdateCapacity"));
  return Inspect(device).status();
}

absl::Status FakeKernel::Loops::Detach(const std::string& device,
                                       const sys::FileIdentity& backing) {
  ASHLAR_RETURN_IF_ERROR(kernel_.failures_->Take("Detach"));
  State& state = *kernel_.state_;
  MutexLock lock(state.mu);
  const auto it = state.devices.find(device);
  if (it == state.devices.end() || it->second.backing != backing) return absl::OkStatus();
  it->second.auto_clear = true;
  state.ClearUnused(device);
  if (state.devices.count(device) == 0) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(device, " is in use"));
}

absl::Status FakeKernel::Loops::Abandon(const std::string& device) {
  ASHLAR_RETURN_IF_ERROR(kernel_.failures_->Take("Abandon"));
  State& state = *kernel_.state_;
  MutexLock lock(state.mu);
  if (const auto it = state.devices.find(device); it != state.devices.end())
    it->second.auto_clear = true;
  state.ClearUnused(device);
  return absl::OkStatus();
}

absl::StatusOr<std::vector<sys::MountEntry>> FakeKernel::Mounts::List() {
  MutexLock lock(kernel_.state_->mu);
  std::vector<sys::MountEntry> all;
  for (const Mount& mount : kernel_.state_->mounts) all.push_back(mount.entry);
  return all;
}

absl::StatusOr<sys::MountPoint> FakeKernel::Mounts::Find(const std::string& target) {
  State& state = *kernel_.state_;
  MutexLock lock(state.mu);
  for (auto it = state.mounts.rbegin(); it != state.mounts.rend(); ++it) {
    if (it->entry.mount_point != target) continue;
    sys::MountPoint point{it->entry.major, it->entry.minor, 0, 0};
    if (!it->is_node) return point;
    const auto device = state.devices.find(it->device);
    if (device != state.devices.end()) {
      point.node_major = device->second.major;
      point.node_minor = device->second.minor;
    }
    return point;
  }
  return absl::NotFoundError(absl::StrCat("nothing is mounted at ", target));
}

absl::Status FakeKernel::Mounts::MountDevice(const CallContext&, const std::string& device,
                                             const std::string& target, const std::string& fs_type,
                                             const sys::MountOptions& options) {
  ASHLAR_RETURN_IF_ERROR(kernel_.failures_->Take("MountDevice"));
  State& state = *kernel_.state_;
  MutexLock lock(state.mu);
  const auto it = state.devices.find(device);
  if (it == state.devices.end()) return absl::NotFoundError(absl::StrCat("mount ", device));
  Mount mount;
  mount.device = device;
  mount.entry.id = state.next_mount++;
  mount.entry.major = it->second.major;
  mount.entry.minor = it->second.minor;
  mount.entry.root = "/";
  mount.entry.mount_point = target;
  mount.entry.fs_type = fs_type;
  mount.entry.source = device;
  mount.entry.options = (options.flags & MS_RDONLY) != 0 ? "ro" : "rw";
  mount.entry.super_options = mount.entry.options;
  state.mounts.push_back(std::move(mount));
  return absl::OkStatus();
}

absl::Status FakeKernel::Mounts::Bind(const std::string& source, const std::string& target,
                                      unsigned long flags) {
  ASHLAR_RETURN_IF_ERROR(kernel_.failures_->Take("Bind"));
  State& state = *kernel_.state_;
  MutexLock lock(state.mu);
  Mount mount;
  if (const auto device = state.devices.find(source); device != state.devices.end()) {
    mount.device = source;
    mount.is_node = true;
    mount.entry.root = source.substr(source.rfind('/'));
    mount.entry.fs_type = "devtmpfs";
  } else {
    const auto under = std::find_if(state.mounts.rbegin(), state.mounts.rend(),
                                    [&](const Mount& m) { return m.entry.mount_point == source; });
    if (under == state.mounts.rend()) return absl::NotFoundError(absl::StrCat("bind ", source));
    mount = *under;
  }
  mount.entry.id = state.next_mount++;
  mount.entry.mount_point = target;
  mount.entry.options = (flags & MS_RDONLY) != 0 ? "ro" : "rw";
  state.mounts.push_back(std::move(mount));
  return absl::OkStatus();
}

absl::Status FakeKernel::Mounts::Unmount(const std::string& target) {
  ASHLAR_RETURN_IF_ERROR(kernel_.failures_->Take("Unmount"));
  State& state = *kernel_.state_;
  MutexLock lock(state.mu);
  for (size_t i = state.mounts.size(); i-- > 0;) {
    if (state.mounts[i].entry.mount_point != target) continue;
    const std::string device = state.mounts[i].device;
    state.mounts.erase(state.mounts.begin() + static_cast<std::ptrdiff_t>(i));
    state.ClearUnused(device);
    break;
  }
  return absl::OkStatus();
}

void FakeKernel::Lose(const std::string& device) {
  MutexLock lock(state_->mu);
  state_->lost.insert(device);
}

void FakeKernel::Stain(const std::string& target) {
  MutexLock lock(state_->mu);
  for (Mount& mount : state_->mounts)
    if (mount.entry.mount_point == target) mount.entry.super_options = "ro";
}

bool FakeKernel::IsFrozen(const std::string& target) {
  const absl::StatusOr<sys::MountPoint> mount = mounts_.Find(target);
  MutexLock lock(state_->mu);
  return mount.ok() && state_->frozen.count({mount->major, mount->minor}) > 0;
}

absl::Status FakeKernel::Mounts::Freeze(const std::string& target) {
  ASHLAR_RETURN_IF_ERROR(kernel_.failures_->Take("Freeze"));
  ASHLAR_ASSIGN_OR_RETURN(const sys::MountPoint mount, Find(target));
  State& state = *kernel_.state_;
  MutexLock lock(state.mu);
  if (state.frozen.insert({mount.major, mount.minor}).second) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat("freeze ", target, ": busy"));
}

absl::Status FakeKernel::Mounts::Thaw(const std::string& target) {
  ASHLAR_RETURN_IF_ERROR(kernel_.failures_->Take("Thaw"));
  const absl::StatusOr<sys::MountPoint> mount = Find(target);
  State& state = *kernel_.state_;
  MutexLock lock(state.mu);
  if (mount.ok()) state.frozen.erase({mount->major, mount->minor});
  return absl::OkStatus();
}

// Targets are only names here.
absl::Status FakeKernel::Mounts::RemoveTarget(const std::string&) {
  return kernel_.failures_->Take("RemoveTarget");
}

}  // namespace ashlar::node_agent
