// FakeNvme: an NVM subsystem that manages namespaces, as its controllers answer to admin commands
// and as the kernel shows it. What it holds are files; a namespace that is attached is a loop
// device behind a name like nvme0n1, in trees that take the place of /sys and /dev. The medium is
// not tidy: a new namespace shows, but for its first and last MiB, what deleted ones held.
//
// Everything is on disk, so that another process goes on with it, whatever interrupted the last
// one. Thread-safe, but for Set... As root.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "lib/base/mutex.h"
#include "lib/system/loop_devices.h"
#include "lib/system/nvme_commands.h"

namespace ashlar::node_agent {

struct FakeNvmeOptions {
  std::string directory;  // below a LoopLab
  std::string serial = "S4FAKE";
  int64_t capacity_bytes = int64_t{400} << 20;
  bool tells_capacity = true;
  int64_t granularity_bytes = int64_t{4} << 20;
  std::vector<uint16_t> controllers = {1, 65};  // CNTLIDs; the first two are this machine's
  uint32_t max_namespaces = 16;
  bool manages = true;
  bool crypto_erases = false;
  sys::NvmeStatus refuses_create = 0;  // with this status
};

class FakeNvme final : public sys::NvmeCommands {
 public:
  // The subsystem that the directory holds, or an empty one.
  explicit FakeNvme(FakeNvmeOptions options);

  absl::StatusOr<sys::NvmeCompletion> Submit(const std::string& controller,
                                             const sys::NvmeCommand& command) override;
  absl::Status Rescan(const std::string& controller) override;

  std::string sys_root() const { return options_.directory + "/sys"; }
  std::string dev_root() const { return options_.directory + "/dev"; }
  // A namespace that somebody prepared: its id.
  uint32_t Prepare(int64_t size_bytes, std::vector<uint16_t> attached = {});
  void SetRefusal(sys::NvmeStatus status) { options_.refuses_create = status; }
  // The kernel's name of the namespace; its loop device if it is shown.
  std::string DeviceOf(uint32_t nsid) const;
  // Ids of the namespaces that there are, with the controllers that they are attached to.
  std::map<uint32_t, std::vector<uint16_t>> Namespaces();
  // The files that hold the medium, also where no namespace is.
  std::vector<std::string> Media() const;
  // How often they have the pattern.
  int64_t CountOnMedium(const std::string& pattern) const;
  // Creates that the controller was asked for.
  int creates() const { return creates_; }

 private:
  struct Space {
    int64_t blocks = 0;
    uint8_t format = 0;
    bool shared = false;
    std::string nguid;
    std::vector<uint16_t> attached;
  };
  struct State {
    uint64_t made = 0;  // namespaces, ever
    std::map<uint32_t, Space> spaces;
  };
  State Load() const;
  void Save(const State& state);
  static int64_t Bytes(const Space& space);
  int64_t Unallocated(const State& state) const;
  std::string FileOf(uint32_t nsid) const;
  std::string BlockOf(uint32_t nsid) const;
  bool IsOurs(const Space& space) const;

  sys::NvmeCompletion Identify(const State& state, const sys::NvmeCommand& command);
  sys::NvmeCompletion Manage(State state, const sys::NvmeCommand& command);
  sys::NvmeCompletion Create(State state, const sys::NvmeCommand& command);
  sys::NvmeCompletion Attach(State state, const sys::NvmeCommand& command);
  sys::NvmeCompletion Format(const State& state, const sys::NvmeCommand& command);
  void AddSpace(State& state, uint32_t nsid, Space space);
  // What no namespace has any more becomes what the next ones show.
  void CollectGarbage(const State& state);
  // Brings loop devices and trees in line.
  void Show(const State& state);
  void ShowControllers();
  void ShowNamespace(uint32_t nsid, const Space& space);
  void HideNamespace(uint32_t nsid);

  FakeNvmeOptions options_;
  sys::KernelLoopDevices loops_;
  Mutex mu_;  // held for each command
  int creates_ = 0;
};

}  // namespace ashlar::node_agent
