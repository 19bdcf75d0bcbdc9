// LvmTool: runs LVM's commands, so that they see the drives of one pool and nothing else, start no
// daemon, wait for no udev, and leave files nowhere. Thread-safe; commands that change a group wait
// for one another by LVM's own lock.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/base/call_context.h"
#include "lib/base/mutex.h"
#include "lib/system/command_runner.h"
#include "node-agent/storage/lvm/lvm_report.h"

namespace ashlar::node_agent {

class LvmTool {
 public:
  // `lock_dir` is where LVM keeps its locks; it is made if absent.
  LvmTool(sys::CommandRunner& commands, std::string lock_dir)
      : commands_(commands), lock_dir_(std::move(lock_dir)) {}

  // For files of ours too.
  const std::string& folder() const { return lock_dir_; }
  // The drives that commands see from now on.
  void SetDevices(std::vector<std::string> devices);

  // Runs `lvm ARGV`. A command that has begun is not cut off by the end of a call: a device that it
  // had suspended would stay so. Internal has LVM's words.
  absl::Status Run(const std::vector<std::string>& argv);
  // Runs a command that waits for work of the kernel and can be run again to go on waiting; it is
  // ended after some seconds, when it is between two of its steps. OK: it has ended, or goes on
  // when it is run again.
  absl::Status RunPiece(const std::vector<std::string>& argv);
  absl::StatusOr<VolumeGroup> Report(const std::string& group);
  // What LVM knows of the drives, whatever SetDevices said.
  absl::StatusOr<std::vector<PhysicalVolume>> Identify(const std::vector<std::string>& devices);

 private:
  absl::StatusOr<sys::CommandResult> Start(const std::vector<std::string>& before,
                                           const std::vector<std::string>& argv,
                                           const std::vector<std::string>& devices);
  absl::StatusOr<std::string> Output(const std::vector<std::string>& argv,
                                     const std::vector<std::string>& devices);
  std::vector<std::string> Devices();

  sys::CommandRunner& commands_;
  const std::string lock_dir_;
  Mutex mu_;
  std::vector<std::string> devices_ ABSL_GUARDED_BY(mu_);
};

}  // namespace ashlar::node_agent
