// LvmDrain: lets drives leave a volume group, one after the other, in a thread of its own.
//
//   takes no extents ──pvmove, volume by volume──► empty ──vgreduce──► in no group ──zeroed,
//   pvremove──► free
//
// Each step can be repeated, by this process or the next one: a move that was begun goes on, and a
// drive in no group is zeroed anew. A volume that is being moved can be used, but not changed.
// SetDrives and the destructor wait for the end of a step, some seconds. Calls must not overlap.
#pragma once

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "lib/base/call_context.h"
#include "lib/base/mutex.h"
#include "lib/system/command_runner.h"
#include "node-agent/inventory/drive_scanner.h"
#include "node-agent/storage/lvm/lvm_tool.h"

namespace ashlar::node_agent {

// What is still to do for a drive, as a sentence. Pure.
std::string DrainState(const VolumeGroup& group, const Drive& drive);

class LvmDrain {
 public:
  // `lvm` sees the group's drives.
  LvmDrain(sys::CommandRunner& commands, std::shared_ptr<LvmTool> lvm, std::string group,
           std::string lock_dir)
      : commands_(commands),
        lvm_(std::move(lvm)),
        group_(std::move(group)),
        lock_dir_(std::move(lock_dir)) {}
  ~LvmDrain() { Stop(); }

  // Ends the work unless it is on these drives.
  void Keep(const std::vector<Drive>& drives);
  // Works on these drives and on no others when it returns. Those of the group take no extents
  // already; the others have left it. A drive that is not there any more is given up.
  void SetDrives(const std::vector<Drive>& drives);
  // Why the work ended before its time; empty: it did not.
  std::string Problem();

 private:
  void Stop();
  bool IsRunning();
  void Run(const std::stop_token& stop, const std::vector<std::string>& devices);
  absl::Status Drain(const CallContext& context, const std::string& device);
  // True: the drive has left the group.
  absl::StatusOr<bool> Step(const std::string& device);
  absl::Status GiveBack(const CallContext& context, const std::string& device);

  sys::CommandRunner& commands_;
  const std::shared_ptr<LvmTool> lvm_;
  const std::string group_, lock_dir_;
  std::vector<std::string> devices_;  // that the thread works on
  Mutex mu_;
  bool running_ ABSL_GUARDED_BY(mu_) = false;
  std::string problem_ ABSL_GUARDED_BY(mu_);
  std::jthread thread_;
};

}  // namespace ashlar::node_agent
