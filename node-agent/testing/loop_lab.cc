#include "node-agent/testing/loop_lab.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <unistd.h>

#include <filesystem>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "gtest/gtest.h"
#include "lib/system/files.h"
#include "lib/system/partition_table.h"
#include "node-agent/storage/media.h"

namespace ashlar::node_agent {
namespace {

constexpr char kPrefix[] = "/tmp/ashlar-loop-lab.";

std::string BackingFile(const std::string& device) {
  const std::string name = device.substr(strlen("/dev/"));
  const auto text = sys::ReadFile(absl::StrCat("/sys/block/", name, "/loop/backing_file"));
  return text.ok() ? std::string(absl::StripSuffix(*text, "\n")) : "";
}

bool IsBelow(const std::string& path, const std::string& directory) {
  return path == directory || absl::StartsWith(path, directory + "/");
}

void Check(const absl::Status& status) { ASSERT_TRUE(status.ok()) << status; }

}  // namespace

std::string LoopLab::Missing() {
  if (geteuid() != 0) return "root";
  if (!sys::Exists("/dev/loop-control")) return "/dev/loop-control";
  for (const char* tool : {"/usr/sbin/mkfs.ext4", "/usr/sbin/mkfs.xfs"})
    if (!sys::Exists(tool)) return tool;
  return "";
}

LoopLab::LoopLab() {
  for (const auto& entry : std::filesystem::directory_iterator("/tmp")) {
    const std::string path = entry.path();
    if (!absl::StartsWith(path, kPrefix)) continue;
    int pid;
    const std::string suffix = path.substr(strlen(kPrefix));
    if (absl::SimpleAtoi(suffix.substr(0, suffix.find('.')), &pid) && kill(pid, 0) != 0)
      Clean(path);
  }
  std::string name = absl::StrCat(kPrefix, getpid(), ".XXXXXX");
  root_ = mkdtemp(name.data());
}

LoopLab::~LoopLab() { Clean(root_); }

void LoopLab::Clean(const std::string& root) {
  sys::KernelMountTable mounts;
  sys::KernelLoopDevices loops;
  for (int round = 0; round < 3; ++round) {
    const auto listed = mounts.List();
    if (listed.ok())
      for (auto it = listed->rbegin(); it != listed->rend(); ++it)
        if (IsBelow(it->mount_point, root)) umount2(it->mount_point.c_str(), MNT_DETACH);
    const auto devices = loops.List();
    if (devices.ok())
      for (const sys::LoopDevice& device : *devices)
        if (IsBelow(BackingFile(device.path), root)) {
          // The kernel would keep them for whatever is attached there next.
          (void)sys::SyncKernelPartitions(device.path, {});
          (void)loops.Detach(device.path, device.backing);
        }
  }
  std::error_code ignored;
  std::filesystem::remove_all(root, ignored);
}

std::string LoopLab::MakeDrive(int64_t size_bytes) {
  const std::string file = Path(absl::StrCat("drive", ++count_));
  const auto fd = sys::OpenFile(file, O_RDWR | O_CREAT, 0600);
  Check(fd.status());
  Check(sys::Truncate(fd->get(), size_bytes, file));
  sys::KernelLoopDevices loops;
  const auto held = loops.Attach({}, file, {"lab", false, true});
  Check(held.status());
  return held->device.path;
}

std::string LoopLab::MakeFilesystem(const std::string& fs_type, int64_t size_bytes) {
  const std::string device = MakeDrive(size_bytes);
  sys::PosixCommandRunner commands;
  Check(sys::RunChecked(commands, {}, {"mkfs." + fs_type, "-q", device}));
  const std::string target = Path(absl::StrCat("fs", count_));
  sys::KernelMountTable mounts;
  Check(mounts.MountDevice({}, device, target, fs_type, {}));
  return target;
}

int LoopLab::LoopsBelow(const std::string& directory) {
  sys::KernelLoopDevices loops;
  int found = 0;
  const auto devices = loops.List();
  for (const sys::LoopDevice& device : *devices)
    found += IsBelow(BackingFile(device.path), directory) ? 1 : 0;
  return found;
}

int LoopLab::MountsBelow(const std::string& directory) {
  sys::KernelMountTable mounts;
  int found = 0;
  const auto listed = mounts.List();
  for (const sys::MountEntry& mount : *listed)
    found += IsBelow(mount.mount_point, directory) ? 1 : 0;
  return found;
}

absl::Status SteppedMounts::MountDevice(const CallContext& context, const std::string& device,
                                        const std::string& target, const std::string& fs_type,
                                        const sys::MountOptions& options) {
  hook_("before mount");
  const absl::Status status = kernel_.MountDevice(context, device, target, fs_type, options);
  hook_("after mount");
  return status;
}

absl::Status SteppedMounts::Bind(const std::string& source, const std::string& target,
                                 unsigned long flags) {
  hook_("before bind");
  const absl::Status status = kernel_.Bind(source, target, flags);
  hook_("after bind");
  return status;
}

absl::Status SteppedMounts::Unmount(const std::string& target) {
  hook_("before unmount");
  const absl::Status status = kernel_.Unmount(target);
  hook_("after unmount");
  return status;
}

absl::Status SteppedMounts::RemoveTarget(const std::string& target) {
  const absl::Status status = kernel_.RemoveTarget(target);
  hook_("after remove target");
  return status;
}

absl::Status SteppedMounts::Freeze(const std::string& target) {
  hook_("before freeze");
  const absl::Status status = kernel_.Freeze(target);
  hook_("after freeze");
  return status;
}

absl::Status SteppedMounts::Thaw(const std::string& target) {
  hook_("before thaw");
  const absl::Status status = kernel_.Thaw(target);
  hook_("after thaw");
  return status;
}

absl::StatusOr<sys::HeldLoopDevice> SteppedLoops::Attach(const CallContext& context,
                                                         const std::string& file,
                                                         const sys::LoopOptions& options) {
  hook_("before attach");
  absl::StatusOr<sys::HeldLoopDevice> held = kernel_.Attach(context, file, options);
  hook_("after attach");
  return held;
}

absl::Status SteppedLoops::UpdateCapacity(const std::string& device) {
  hook_("before capacity");
  const absl::Status status = kernel_.UpdateCapacity(device);
  hook_("after capacity");
  return status;
}

absl::Status SteppedLoops::Abandon(const std::string& device) {
  hook_("before abandon");
  const absl::Status status = kernel_.Abandon(device);
  hook_("after abandon");
  return status;
}

absl::Status SteppedLoops::Detach(const std::string& device, const sys::FileIdentity& backing) {
  hook_("before detach");
  const absl::Status status = kernel_.Detach(device, backing);
  hook_("after detach");
  return status;
}

absl::StatusOr<sys::CommandResult> SteppedCommands::Run(const CallContext& context,
                                                        const std::vector<std::string>& argv) {
  hook_("before command");
  absl::StatusOr<sys::CommandResult> result = posix_.Run(context, argv);
  hook_("after command");
  return result;
}

absl::Status SteppedJournal::Save(const VolumeRecord& record) {
  hook_("before save");
  const absl::Status status = files_.Save(record);
  hook_("after save");
  return status;
}

absl::Status SteppedJournal::Remove(const std::string& volume_id) {
  hook_("before remove record");
  const absl::Status status = files_.Remove(volume_id);
  hook_("after remove record");
  return status;
}

AgentStack::AgentStack(const std::string& state_dir, std::vector<std::string> publish_roots,
                       const std::string& boot_id)
    : scanner(mounts, loops),
      pool_environment{commands, mounts, scanner, state_dir, {}},
      pools(state_dir, PoolMedia(pool_environment)),
      journal(hook, absl::StrCat(state_dir, "/journal/volumes")),
      attributes(absl::StrCat(state_dir, "/journal/attributes")),
      volumes({pools, journal, commands, mounts, loops, clock, attributes},
              PathPolicy(std::move(publish_roots)), boot_id) {}

absl::Status AgentStack::Start() {
  if (const absl::Status loaded = pools.Load({}); !loaded.ok()) return loaded;
  if (const absl::Status loaded = attributes.Load(); !loaded.ok()) return loaded;
  return volumes.Recover({});
}

absl::StatusOr<PoolStatus> AgentStack::EnsureDirectoryPool(const std::string& path) {
  PoolSpec spec;
  spec.name = "p";
  spec.uid = "uid-1";
  spec.directory = DirectorySource{path, 0};
  return pools.Ensure({}, spec);
}

}  // namespace ashlar::node_agent
