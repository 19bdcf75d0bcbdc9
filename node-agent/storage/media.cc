#include "node-agent/storage/media.h"

#include "node-agent/storage/directory/directory_medium.h"
#include "node-agent/storage/file/file_directory.h"
#include "node-agent/storage/file/pool_root.h"
#include "node-agent/storage/lvm/lvm_medium.h"
#include "node-agent/storage/namespace/namespace_medium.h"
#include "node-agent/storage/partition/partition_medium.h"
#include "node-agent/storage/wholedrive/whole_drive_medium.h"

namespace ashlar::node_agent {
namespace {

// The NVMe subsystems of this machine.
struct Nvme {
  RealClock clock;
  sys::KernelNvmeCommands commands;
  NvmeSubsystems subsystems{commands, clock};
};

}  // namespace

MakePoolMedium PoolMedia(const PoolEnvironment& env) {
  auto nvme = std::make_shared<Nvme>();
  return [&env, nvme](const PoolSpec& spec) -> std::unique_ptr<PoolMedium> {
    switch (spec.backend) {
      case BackendKind::kFile:
        if (spec.directory) return std::make_unique<FileDirectory>(env);
        return FileDrives(env, spec);
      case BackendKind::kDirectory:
        if (spec.directory) return std::make_unique<DirectoryMedium>(env);
        return DirectoryDrives(env, spec);
      case BackendKind::kLvm:
        return std::make_unique<LvmMedium>(env, spec);
      case BackendKind::kPartition:
        return std::make_unique<PartitionMedium>(env, spec);
      case BackendKind::kNamespace:
        return std::make_unique<NamespaceMedium>(env, spec, nvme->subsystems);
      case BackendKind::kWholeDrive:
        return std::make_unique<WholeDriveMedium>(env, spec);
    }
    return nullptr;
  };
}

}  // namespace ashlar::node_agent
