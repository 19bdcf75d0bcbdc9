// FakeKernel: loop devices and mounts in memory, which know of each other: a mount keeps its
// device, and a device that clears itself goes with its last user. Both pass the same contract
// suite as the real ones (kernel_contract.h). Only the files under loop devices are real.
// Thread-safe.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "lib/base/mutex.h"
#include "lib/system/loop_devices.h"
#include "lib/system/mount_table.h"
#include "node-agent/testing/failures.h"

namespace ashlar::node_agent {

class FakeKernel {
 public:
  FakeKernel();
  FakeKernel(const FakeKernel&) = delete;

  sys::LoopDevices& loops() { return loops_; }
  sys::MountTable& mounts() { return mounts_; }
  // The file of the loop device is on a filesystem whose drive went: the device stays and can't be
  // asked for it.
  void Lose(const std::string& device);
  // The filesystem that is mounted there becomes read-only, as after an error.
  void Stain(const std::string& target);
  // Whether the filesystem that is mounted there is frozen.
  bool IsFrozen(const std::string& target);
  // Methods are those of the two interfaces that change something.
  Failures& failures() { return *failures_; }

 private:
  struct Mount {
    sys::MountEntry entry;
    std::string device;  // that it keeps; empty: none
    bool is_node = false;
  };
  // Outlives the kernel while somebody holds a device.
  struct State {
    Mutex mu;
    std::map<std::string, sys::LoopDevice> devices ABSL_GUARDED_BY(mu);
    std::multiset<std::string> held ABSL_GUARDED_BY(mu);
    std::set<std::string> lost ABSL_GUARDED_BY(mu);
    std::vector<Mount> mounts ABSL_GUARDED_BY(mu);
    std::set<std::pair<uint32_t, uint32_t>> frozen ABSL_GUARDED_BY(mu);  // devices
    uint32_t next_device ABSL_GUARDED_BY(mu) = 1'000'000;  // the machine has none of these
    int64_t next_mount ABSL_GUARDED_BY(mu) = 1;

    bool InUse(const std::string& device) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);
    void ClearUnused(const std::string& device) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);
  };

  class Loops final : public sys::LoopDevices {
   public:
    explicit Loops(FakeKernel& kernel) : kernel_(kernel) {}
    absl::StatusOr<sys::HeldLoopDevice> Attach(const CallContext& context, const std::string& file,
                                               const sys::LoopOptions& options) override;
    absl::StatusOr<std::vector<sys::LoopDevice>> List() override;
    absl::StatusOr<sys::LoopDevice> Inspect(const std::string& device) override;
    absl::Status UpdateCapacity(const std::string& device) override;
    absl::Status Detach(const std::string& device, const sys::FileIdentity& backing) override;
    absl::Status Abandon(const std::string& device) override;

   private:
    FakeKernel& kernel_;
  };

  class Mounts final : public sys::MountTable {
   public:
    explicit Mounts(FakeKernel& kernel) : kernel_(kernel) {}
    absl::StatusOr<std::vector<sys::MountEntry>> List() override;
    absl::StatusOr<sys::MountPoint> Find(const std::string& target) override;
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
    FakeKernel& kernel_;
  };

  const std::shared_ptr<State> state_;
  const std::unique_ptr<Failures> failures_;
  Loops loops_{*this};
  Mounts mounts_{*this};
};

}  // namespace ashlar::node_agent
