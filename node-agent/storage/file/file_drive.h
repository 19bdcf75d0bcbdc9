// FileDrive: a pool of the File backend on a drive of its own, which is formatted with XFS and
// mounted at <state_dir>/pools/<name>. The pool's uid is the UUID of the filesystem.
//
//   (drive proven free) ──► claimed: formatting ──► carries the pool ──► mounted
//                                │     ▲
//                                └─────┘ crash: formatted again, before any other drive
//
// The pool is not open, and so has no volumes, until the record says that the formatting has ended.
// If the pool is removed before, the unfinished filesystem is erased: the drive is free again.
#pragma once

#include "node-agent/storage/file/pool_root.h"
#include "node-agent/storage/pool_medium.h"

namespace ashlar::node_agent {

class FileDrive final : public PoolMedium {
 public:
  FileDrive(const PoolEnvironment& env, const PoolSpec& spec)
      : env_(env), uuid_(FilesystemUuid(spec.uid)), root_(env.commands) {}

  absl::StatusOr<OpenedPool> Open(const CallContext& context, PoolRecord& record,
                                  SavePoolRecord save) override;
  absl::Status Close(const CallContext& context, const PoolRecord& record) override;
  bool Carries(const Drive& drive) const override;

 private:
  std::string Target(const PoolRecord& record) const;
  // Wipes one that spec.wipe names if none is free.
  absl::StatusOr<Drive> ChooseDrive(PoolRecord& record, SavePoolRecord save, bool& format);
  absl::Status FormatDrive(const CallContext& context, PoolRecord& record, const Drive& drive,
                           SavePoolRecord save);
  absl::Status Mount(const CallContext& context, const Drive& drive, const std::string& target);
  absl::Status EraseUnfinished(const PoolRecord& record);

  const PoolEnvironment& env_;
  const std::string uuid_;
  std::string device_;  // id of the drive that is mounted
  PoolRoot root_;
};

}  // namespace ashlar::node_agent
