// FilesystemDrive: a drive that is formatted for one pool and mounted at <state_dir>/pools/<name>.
// The pool's uid is the UUID of the filesystem.
//
//   (drive proven free) ──► claimed: formatting ──► carries the pool ──► mounted
//                                │     ▲
//                                └─────┘ crash: formatted again, before any other drive
//
// The pool is not open, and so has no volumes, until the record says that the formatting has ended.
// If the pool is removed before, the unfinished filesystem is erased: the drive is free again.
// Thread-safe as PoolMedium says.
#pragma once

#include "node-agent/storage/pool_medium.h"

namespace ashlar::node_agent {

struct PoolFilesystem {
  std::string type;  // as libblkid and mount call it
  // Without the device. The program itself refuses one that bears any signature, unless it is
  // forced.
  std::vector<std::string> mkfs;
  std::string mount_data;
};

class FilesystemDrive {
 public:
  FilesystemDrive(const PoolEnvironment& env, const PoolSpec& spec, PoolFilesystem filesystem)
      : env_(env), uuid_(FilesystemUuid(spec.uid)), filesystem_(std::move(filesystem)) {}

  // The directory at which the drive of the pool is mounted from now on. It is formatted if no
  // drive carries the pool, and wiped before if spec.wipe names it and none is free.
  absl::StatusOr<std::string> Open(const CallContext& context, PoolRecord& record,
                                   SavePoolRecord save);
  absl::Status Close(const PoolRecord& record);
  bool Carries(const Drive& drive) const;
  // Id of the drive that is mounted; empty before Open.
  const std::string& device() const { return device_; }

 private:
  std::string Target(const PoolRecord& record) const;
  // How the scanner calls a drive that nobody uses and that bears what an interrupted mkfs left.
  std::string Unfinished() const;
  absl::StatusOr<Drive> ChooseDrive(PoolRecord& record, SavePoolRecord save, bool& format);
  absl::Status FormatDrive(const CallContext& context, PoolRecord& record, const Drive& drive,
                           SavePoolRecord save);
  absl::Status Mount(const CallContext& context, const Drive& drive, const std::string& target);
  absl::Status EraseUnfinished(const PoolRecord& record);

  const PoolEnvironment& env_;
  const std::string uuid_;
  const PoolFilesystem filesystem_;
  std::string device_;
};

}  // namespace ashlar::node_agent
