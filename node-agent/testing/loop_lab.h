// LoopLab: a place for tests with real loop devices, filesystems and mounts. Everything it makes
// lies below one directory of a unique name; it is taken away at the end, and by the next lab if
// the process was killed. Not thread-safe.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "lib/base/clock.h"
#include "lib/system/command_runner.h"
#include "lib/system/loop_devices.h"
#include "lib/system/mount_table.h"
#include "node-agent/pool/pool_set.h"
#include "node-agent/volume/volume_manager.h"

namespace ashlar::node_agent {

class LoopLab {
 public:
  LoopLab();
  ~LoopLab();

  // What this machine lacks for such tests, or "": not root, no loop devices, no mkfs.
  static std::string Missing();

  const std::string& root() const { return root_; }
  std::string Path(const std::string& name) const { return root_ + "/" + name; }
  // A sparse file of the size, attached to a loop device; its path, such as /dev/loop3.
  std::string MakeDrive(int64_t size_bytes);
  // A filesystem of the size, mounted below the lab; its path.
  std::string MakeFilesystem(const std::string& fs_type, int64_t size_bytes);
  // Loop devices over files below `directory`, and mounts at or below it.
  int LoopsBelow(const std::string& directory);
  int MountsBelow(const std::string& directory);

 private:
  static void Clean(const std::string& root);
  std::string root_;
  int count_ = 0;
};

// Called before each step of the agent that changes something outside its memory, and after it.
using StepHook = std::function<void(const char* step)>;

class SteppedMounts final : public sys::MountTable {
 public:
  explicit SteppedMounts(const StepHook& hook) : hook_(hook) {}
  absl::StatusOr<std::vector<sys::MountEntry>> List() override { return kernel_.List(); }
  absl::StatusOr<sys::MountPoint> Find(const std::string& target) override {
    return kernel_.Find(target);
  }
  absl::Status MountDevice(const CallContext& context, const std::string& device,
                           const std::string& target, const std::string& fs_type,
                           const sys::MountOptions& options) override;
  absl::Status Bind(const std::string& source, const std::string& target,
                    unsigned long flags) override;
  absl::Status Unmount(const std::string& target) override;
  absl::Status RemoveTarget(const std::string& target) override;
  absl::Status Freeze(const std::string& target) override;
  absl::Status Thaw(const std::string& target) override;

 private:
  const StepHook& hook_;
  sys::KernelMountTable kernel_;
};

class SteppedLoops final : public sys::LoopDevices {
 public:
  explicit SteppedLoops(const StepHook& hook) : hook_(hook) {}
  absl::StatusOr<sys::HeldLoopDevice> Attach(const CallContext& context, const std::string& file,
                                             const sys::LoopOptions& options) override;
  absl::StatusOr<std::vector<sys::LoopDevice>> List() override { return kernel_.List(); }
  absl::StatusOr<sys::LoopDevice> Inspect(const std::string& device) override {
    return kernel_.Inspect(device);
  }
  absl::Status UpdateCapacity(const std::string& device) override;
  absl::Status Detach(const std::string& device, const sys::FileIdentity& backing) override;
  absl::Status Abandon(const std::string& device) override;

 private:
  const StepHook& hook_;
  sys::KernelLoopDevices kernel_;
};

class SteppedCommands final : public sys::CommandRunner {
 public:
  explicit SteppedCommands(const StepHook& hook) : hook_(hook) {}
  absl::StatusOr<sys::CommandResult> Run(const CallContext& context,
                                         const std::vector<std::string>& argv) override;

 private:
  const StepHook& hook_;
  sys::PosixCommandRunner posix_;
};

class SteppedJournal final : public Journal {
 public:
  SteppedJournal(const StepHook& hook, std::string directory)
      : hook_(hook), files_(std::move(directory)) {}
  absl::Status Save(const VolumeRecord& record) override;
  absl::Status Remove(const std::string& volume_id) override;
  absl::StatusOr<std::vector<VolumeRecord>> Load() override { return files_.Load(); }

 private:
  const StepHook& hook_;
  FileJournal files_;
};

// The agent without its services, over the real kernel. Made anew, it is an agent that was
// restarted.
struct AgentStack {
  AgentStack(const std::string& state_dir, std::vector<std::string> publish_roots,
             const std::string& boot_id = "boot-1");
  // Load and Recover.
  absl::Status Start();
  // EnsurePool of a directory.
  absl::StatusOr<PoolStatus> EnsureDirectoryPool(const std::string& path);

  StepHook hook = [](const char*) {};
  SteppedCommands commands{hook};
  SteppedMounts mounts{hook};
  SteppedLoops loops{hook};
  RealClock clock;
  DriveScanner scanner;
  PoolEnvironment pool_environment;
  PoolSet pools;
  SteppedJournal journal;
  AttributeTable attributes;
  VolumeManager volumes;
};

// First statement of a test that needs the lab.
#define ASHLAR_NEEDS_LOOP_LAB()                                                                 \
  if (const std::string missing = ::ashlar::node_agent::LoopLab::Missing(); !missing.empty()) { \
    if (getenv("CI") != nullptr && std::string(getenv("CI")) == "true")                         \
      FAIL() << "the loop lab lacks " << missing;                                               \
    GTEST_SKIP() << "the loop lab lacks " << missing;                                           \
  }

}  // namespace ashlar::node_agent
