// NamespaceBackend: a volume is an NVMe namespace, from its first block to its last, with nothing
// of ours on it. Where a subsystem has capacity left, a namespace of the volume's size is created
// for it and deleted after it; else one that was prepared and is free is taken as a whole, the
// smallest that is large enough, attached if it was not, and detached again after the volume. A
// volume cannot grow or be copied.
//
// What describes a volume is a record in the state directory (namespace_records.h). A namespace is
// known by its subsystem's NQN, its id and its NGUID or EUI-64, never by a name in /dev. If the
// state directory is lost a namespace with a filesystem is not free; the filesystem's UUID is made
// from the pool's uid and the volume's id, and a Create of that id takes it as the volume again. A
// block volume has no such mark: its namespace is not free if its first or last MiB holds anything.
//
// The path of a volume is a link below `links`. Thread-safe as StorageBackend says.
#pragma once

#include <set>

#include "absl/functional/function_ref.h"
#include "lib/base/mutex.h"
#include "lib/system/command_runner.h"
#include "node-agent/inventory/drive_scanner.h"
#include "node-agent/storage/namespace/namespace_plan.h"
#include "node-agent/storage/wipes.h"

namespace ashlar::node_agent {

class NamespaceBackend final : public StorageBackend {
 public:
  // The directories are made if absent. What is borrowed must outlive the backend.
  NamespaceBackend(sys::CommandRunner& commands, DriveScanner& scanner, NvmeSubsystems& nvme,
                   std::string pool_uid, std::string records, std::string links)
      : commands_(commands),
        scanner_(scanner),
        nvme_(nvme),
        pool_uid_(std::move(pool_uid)),
        records_directory_(std::move(records)),
        links_(std::move(links)) {}

  // Whether the namespace is a volume, or becomes or was one.
  using Held = absl::FunctionRef<bool(const NvmeSubsystem&, const NvmeNamespaceState&)>;
  using Gather = absl::FunctionRef<absl::StatusOr<std::vector<PoolSubsystem>>(Held held)>;
  // From now on the subsystems are those that `gather` finds, during which no namespace of the pool
  // is created, deleted, attached or detached by anybody else. Brings the links in line and goes on
  // with what an interrupted call left. `reserve_bytes` are never given to volumes.
  absl::Status Look(Gather gather, int64_t reserve_bytes);
  // NQNs of the subsystems that volumes are on.
  std::set<std::string> Holding();
  bool HoldsDevice(const std::string& device);

  BackendTraits Traits() const override { return {true, {"ext4", "xfs"}, false, false}; }
  absl::StatusOr<PoolUsage> Usage() override;
  absl::StatusOr<StoredVolume> Create(const CallContext& context, const VolumeFacts& facts,
                                      int64_t size_bytes, const std::string& drive) override;
  absl::StatusOr<StoredVolume> Find(const std::string& id) override;
  absl::StatusOr<std::vector<StoredVolume>> List() override;
  absl::StatusOr<StoredVolume> Grow(const CallContext& context, const std::string& id,
                                    int64_t size_bytes) override;
  absl::StatusOr<StoredVolume> Prepare(const CallContext& context, const std::string& id) override;
  absl::Status Remove(const CallContext& context, const std::string& id) override;

 private:
  NamespacePool Pool() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  std::string LinkOf(const std::string& id) const;
  std::string UuidOf(const std::string& id) const;
  PoolSubsystem* Known(const std::string& nqn) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // The subsystem as it is now, in place of what was known of it. The second makes one step with
  // saving a record.
  void Remember(const NvmeSubsystem& subsystem);
  absl::Status Remember(const NvmeSubsystem& subsystem, const NamespaceRecord& record);
  absl::StatusOr<StoredVolume> Describe(const NamespaceRecord& record)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::StatusOr<NamespaceRecord> FindVolume(const std::string& id)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::Status LinkVolumes() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  // A namespace, known and ours, for a volume that does not exist: created, or taken as a whole.
  absl::StatusOr<NamespaceRecord> Claim(const CallContext& context, const VolumeFacts& facts,
                                        int64_t size_bytes, const std::string& drive);
  absl::StatusOr<NamespaceRecord> Reserve(const VolumeFacts& facts, int64_t size_bytes,
                                          const std::string& drive);
  bool Readopt(const VolumeFacts& facts) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Each makes a reserved record one in the making, or answers false: it is gone, and the place
  // will not be chosen again.
  absl::StatusOr<bool> Allocate(NamespaceRecord& record);
  absl::StatusOr<bool> Take(const CallContext& context, NamespaceRecord& record);
  // Notes of a prepared namespace that nobody has it attached, so that it is detached again.
  absl::Status NoteDetached(NamespaceRecord& record);
  absl::Status Build(const CallContext& context, const NamespaceRecord& record);

  // The device of the record's namespace, which is attached if it is not. NotFound: the subsystem
  // has no such namespace. Unavailable: the subsystem is not there.
  absl::StatusOr<std::string> Attached(const CallContext& context, const NamespaceRecord& record);
  // Why the namespace cannot be taken. Empty: it is free.
  std::string BusyReason(const std::string& device);

  Wipes::Work WipeOf(const std::string& id);
  absl::Status WipeAndFree(const CallContext& context, const std::string& id);
  // Finds the namespace that an interrupted call created. False: there is none.
  absl::StatusOr<bool> Recover(const CallContext& context, NamespaceRecord& record);
  absl::Status Erase(const CallContext& context, const NamespaceRecord& record);
  // Detaches and deletes what was attached and created for the volume.
  absl::Status Leave(const CallContext& context, const NamespaceRecord& record);

  sys::CommandRunner& commands_;
  DriveScanner& scanner_;
  NvmeSubsystems& nvme_;
  const std::string pool_uid_;
  const std::string records_directory_;
  const std::string links_;
  RealClock clock_;
  // Held while namespaces are created, deleted, attached or detached; before mu_.
  Mutex changes_;
  Mutex mu_;
  bool loaded_ ABSL_GUARDED_BY(mu_) = false;
  std::vector<PoolSubsystem> subsystems_ ABSL_GUARDED_BY(mu_);
  int64_t reserve_bytes_ ABSL_GUARDED_BY(mu_) = 0;
  NamespaceRecords records_ ABSL_GUARDED_BY(mu_){records_directory_};
  std::set<std::string> working_ ABSL_GUARDED_BY(mu_);  // ids of volumes that calls make
  Wipes wipes_;                                         // last: its threads use all of the above
};

}  // namespace ashlar::node_agent
