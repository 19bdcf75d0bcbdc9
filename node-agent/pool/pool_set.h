// PoolSet: the pools of this node. What was asked for is kept in <state-dir>/journal/pools, one
// record a pool, so that a restarted agent has its pools before anybody asks again. What a pool
// lies on, and how that is claimed, is the business of its medium.
//
//   asked for ──► not ready ◄──► ready ──► removed
//
// Thread-safe; one call at a time changes pools, another one is Aborted.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "lib/base/mutex.h"
#include "node-agent/pool/pool_source.h"
#include "node-agent/storage/pool_medium.h"

namespace ashlar::node_agent {

class PoolSet final : public PoolSource {
 public:
  // `make_medium` makes the medium of each kind of pool.
  PoolSet(std::string state_dir, MakePoolMedium make_medium)
      : state_dir_(std::move(state_dir)), make_medium_(std::move(make_medium)) {}

  // Makes the recorded pools ready, as far as they can be. Called once, first.
  absl::Status Load(const CallContext& context);

  // Makes the pool ready or tells in its status why it is not. InvalidArgument: no such pool can
  // be. FailedPrecondition: another pool of this name is here. Repeatable.
  absl::StatusOr<PoolStatus> Ensure(const CallContext& context, const PoolSpec& spec);
  // Tries again what is not ready. True if something became ready.
  bool RetryNotReady(const CallContext& context);
  // Looks at the drives of pools that are ready: those that were added, came back, or are gone.
  // True if a pool has other drives now.
  bool LookAgain(const CallContext& context);
  // The same for the pools that asked to be looked at every few seconds.
  bool LookAtRestless(const CallContext& context);
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
  absl::StatusOr<int64_t> InlineVolumeMaxBytes(const std::string& pool) override;
  std::vector<std::string> ReadyPools() override;

 private:
  struct Entry {
    PoolRecord record;
    std::vector<std::string> devices;
    std::string reason, message;              // why it is not ready, or not as it should be
    bool restless = false;                    // see OpenedPool
    std::shared_ptr<PoolMedium> medium;       // null: not looked at yet
    std::shared_ptr<StorageBackend> backend;  // null: not ready
  };
  absl::Status BeginChange();
  void EndChange();
  Entry Snapshot(const std::string& name);
  absl::Status Save(const Entry& entry);
  std::string RecordPath(const std::string& name) const;
  // Opens the pools for which `due` holds. True if one is ready and was not, or has other drives.
  bool Reopen(const CallContext& context, absl::FunctionRef<bool(const Entry&)> due);
  // Makes it ready; fills reason and message if it cannot.
  void Open(const CallContext& context, Entry& entry);
  static absl::Status Close(const CallContext& context, const Entry& entry);
  PoolStatus StatusOf(const Entry& entry);

  const std::string state_dir_;
  const MakePoolMedium make_medium_;
  Mutex mu_;
  bool changing_ ABSL_GUARDED_BY(mu_) = false;
  std::map<std::string, Entry> entries_ ABSL_GUARDED_BY(mu_);
};

}  // namespace ashlar::node_agent
