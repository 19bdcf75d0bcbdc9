// NvmeSubsystems: the NVM subsystems on the PCI bus of this machine, with the namespaces that they
// have allocated, and what can be done to these. Sources: sysfs (Documentation/ABI
// sysfs-class-nvme) and Identify; nothing is remembered. Thread-safe; changes of one subsystem must
// not overlap.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/base/call_context.h"
#include "lib/base/clock.h"
#include "lib/system/nvme_commands.h"

namespace ashlar::node_agent {

struct NvmeControllerPath {
  std::string device;  // /dev/nvme0
  uint16_t id = 0;     // CNTLID
  bool operator==(const NvmeControllerPath&) const = default;
};

struct NvmeNamespaceState {
  uint32_t nsid = 0;
  std::string identity;  // NGUID, else EUI-64; empty: it tells none
  int64_t size_bytes = 0;
  uint8_t format = 0;                   // LbaFormat::index
  bool usable = true;                   // blocks without metadata
  bool shared = false;                  // may be attached to several controllers
  bool known = true;                    // whether the controllers that it is attached to are known
  std::string device = "";              // /dev/nvme0n2; empty: this machine does not show it
  std::vector<uint16_t> attached = {};  // controllers, also those of other machines
  bool operator==(const NvmeNamespaceState&) const = default;
};

struct NvmeSubsystem {
  std::string nqn;  // by which it is known
  std::string serial, model, firmware;
  std::vector<NvmeControllerPath> controllers;  // of this machine, that are live
  bool manages = false;                         // namespaces can be attached and perhaps created
  bool crypto_erases = false;                   // one namespace alone
  bool several_controllers = false;
  int64_t capacity_bytes = 0;     // 0: it does not tell
  int64_t unallocated_bytes = 0;  // 0 also where it does not tell
  int64_t granularity_bytes = 0;  // of new namespaces; a multiple of 1 MiB
  uint32_t max_namespaces = 0;
  sys::LbaFormat new_format = {};                   // data_bytes 0: no usable one is known
  std::vector<NvmeNamespaceState> namespaces = {};  // allocated, by nsid

  const NvmeNamespaceState* Find(uint32_t nsid) const;
  // By which pools, and who names a drive, know it.
  const std::string& name() const { return serial.empty() ? nqn : serial; }
  // Says that it creates namespaces, in a format that Linux takes.
  bool creates() const { return manages && new_format.data_bytes > 0; }
  bool operator==(const NvmeSubsystem&) const = default;
};

class NvmeSubsystems {
 public:
  // Borrows.
  NvmeSubsystems(sys::NvmeCommands& commands, Clock& clock, std::string sys_root = "/sys",
                 std::string dev_root = "/dev")
      : commands_(commands),
        clock_(clock),
        sys_root_(std::move(sys_root)),
        dev_root_(std::move(dev_root)) {}

  // By nqn. One whose controllers do not answer is logged and left out.
  absl::StatusOr<std::vector<NvmeSubsystem>> List();
  // Unavailable: it is not there.
  absl::StatusOr<NvmeSubsystem> Read(const std::string& nqn);

  // A namespace of the size, attached to nothing. A refusal is no error but a status.
  absl::StatusOr<sys::NvmeCreated> Create(const NvmeSubsystem& subsystem, int64_t size_bytes);
  // Absent is OK.
  absl::Status Delete(const NvmeSubsystem& subsystem, uint32_t nsid);
  // To all controllers of this machine if it is shared, else to one; waits until the machine shows
  // it. The device.
  absl::StatusOr<std::string> Attach(const CallContext& context, const NvmeSubsystem& subsystem,
                                     const NvmeNamespaceState& space);
  // From all controllers of this machine; waits until the machine shows it no more. Nobody may use
  // the device.
  absl::Status Detach(const CallContext& context, const NvmeSubsystem& subsystem,
                      const NvmeNamespaceState& space);
  // Only where crypto_erases.
  absl::Status CryptoErase(const NvmeSubsystem& subsystem, const NvmeNamespaceState& space);

 private:
  std::string Attribute(const std::string& path) const;
  // What sysfs tells of controllers, without the answers of Identify.
  absl::StatusOr<std::vector<NvmeSubsystem>> FromSysfs();
  absl::Status Identify(NvmeSubsystem& subsystem);
  // As the controller tells; of one that has no such list what the kernel shows.
  absl::StatusOr<std::vector<uint32_t>> AllocatedIds(const NvmeSubsystem& subsystem);
  absl::StatusOr<NvmeNamespaceState> ReadNamespace(const NvmeSubsystem& subsystem, uint32_t nsid);
  void ChooseFormat(NvmeSubsystem& subsystem);
  // "" if the machine does not show it.
  std::string DeviceOf(const std::string& nqn, uint32_t nsid);
  std::vector<uint32_t> Shown(const std::string& nqn);
  absl::Status Rescan(const NvmeSubsystem& subsystem);

  sys::NvmeCommands& commands_;
  Clock& clock_;
  const std::string sys_root_, dev_root_;
};

}  // namespace ashlar::node_agent
