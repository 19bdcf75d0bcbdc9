// PoolSet: the pools of this node. What was asked for is kept in <state-dir>/journal/pools, one
// record a pool, so that a restarted agent has its pools before anybody asks again. A drive of a
// pool is mounted at <state-dir>/pools/<name>.
//
//   asked for ──► (drive proven free) ──► formatting ──► ready ──► removed
//                                             │             ▲
//                                 crash: formatted again    │ a drive with this pool's filesystem
//                                                           │ UUID is mounted, never formatted
//
// "formatting" is recorded before mkfs writes its first byte, with the id of the drive that was
// proven free; only such a drive may be formatted although it bears a signature, and it is taken
// before any other. A pool is not ready, and so has no volumes, until the record says that the
// formatting has ended. If the pool is removed before, the unfinished filesystem is erased: the
// drive is free again. Thread-safe; one call at a time changes pools, another one is Aborted.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "lib/base/mutex.h"
#include "lib/system/command_runner.h"
#include "lib/system/mount_table.h"
#include "node-agent/pool/pool_source.h"
#include "node-agent/pool/pool_types.h"
#include "node-agent/storage/file_backend.h"

namespace ashlar::node_agent {

class PoolSet final : public PoolSource {
 public:
  // `directories`: at or below which pools of the kind directory may lie; empty: anywhere.
  PoolSet(sys::CommandRunner& commands, sys::MountTable& mounts, DriveScanner& scanner,
          std::string state_dir, std::vector<std::string> directories = {})
      : commands_(commands),
        mounts_(mounts),
        scanner_(scanner),
        state_dir_(std::move(state_dir)),
        directories_(std::move(directories)) {}

  // Makes the recorded pools ready, as far as they can be. Called once, first.
  absl::Status Load(const CallContext& context);

  // Makes the pool ready or tells in its status why it is not. InvalidArgument: no such pool can
  // be. FailedPrecondition: another pool of this name is here. Repeatable.
  absl::StatusOr<PoolStatus> Ensure(const CallContext& context, const PoolSpec& spec);
  // Tries again what is not ready. True if something became ready.
  bool RetryNotReady(const CallContext& context);
  // Forgets the pool and unmounts it. FailedPrecondition while it has volumes. Absent is OK. The
  // filesystem of a drive stays, unless its making was interrupted. After an error the pool may be
  // not ready until Ensure or RetryNotReady; the call can be repeated.
  absl::Status Remove(const CallContext& context, const std::string& name);

  std::vector<PoolStatus> Statuses();
  // Shell patterns by which pools name devices: loop devices among them count as drives.
  std::vector<std::string> NamedPaths();
  // The pool that the drive carries, or "".
  std::string PoolOfDrive(const Drive& drive);

  absl::StatusOr<std::shared_ptr<StorageBackend>> Backend(const std::string& pool) override;
  absl::StatusOr<std::string> Uid(const std::string& pool) override;
  std::vector<std::string> ReadyPools() override;

 private:
  struct Entry {
    PoolSpec spec;
    std::string formatting;  // id of the drive that is being formatted
    std::string device;
    std::string reason, message;  // why it is not ready
    std::shared_ptr<FileBackend> backend;
  };
  absl::Status BeginChange();
  void EndChange();
  Entry Snapshot(const std::string& name);
  absl::Status Save(const Entry& entry);
  std::string RecordPath(const std::string& name) const;
  // Makes it ready; fills reason and message if it cannot.
  void Open(const CallContext& context, Entry& entry);
  absl::StatusOr<std::string> OpenDirectory(Entry& entry);
  absl::StatusOr<std::string> OpenDrive(const CallContext& context, Entry& entry);
  absl::StatusOr<Drive> ChooseDrive(Entry& entry, bool& format);
  absl::Status FormatDrive(const CallContext& context, Entry& entry, const Drive& drive);
  absl::Status EraseUnfinished(const Entry& entry);
  absl::Status Dismantle(const Entry& entry);
  absl::Status Claim(const Entry& entry, const std::string& root);
  PoolStatus StatusOf(const Entry& entry);

  sys::CommandRunner& commands_;
  sys::MountTable& mounts_;
  DriveScanner& scanner_;
  const std::string state_dir_;
  const std::vector<std::string> directories_;
  Mutex mu_;
  bool changing_ ABSL_GUARDED_BY(mu_) = false;
  std::map<std::string, Entry> entries_ ABSL_GUARDED_BY(mu_);
};

}  // namespace ashlar::node_agent
