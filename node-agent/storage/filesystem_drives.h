// FilesystemDrives: the drives of a pool whose volumes lie on filesystems, one on each drive.
//
//   (free) ──► claimed: being formatted ──► mounted ──► drained or matches no longer: takes no
//                 │     ▲                      ▲        volumes; erased when empty ──► (free)
//                 └─────┘ crash                └── named drives come back to their places
//
// The first drive's filesystem has the pool's uid as its UUID and is mounted at
// <state_dir>/pools/<name>; those of the others are made from the uid and the drive's id, which is
// also in the name of their mount point. The record names a drive before its first byte is written:
// what a crash left there is formatted again. Thread-safe as PoolMedium says.
#pragma once

#include <functional>

#include "node-agent/storage/pool_medium.h"

namespace ashlar::node_agent {

struct PoolFilesystem {
  std::string type;  // as libblkid and mount call it
  // Arguments of mkfs without the device; the program itself refuses a drive with any signature
  // unless it is forced by -f.
  std::function<std::vector<std::string>(const std::string& uuid)> mkfs;
  std::string mount_data;
};

struct MountedDrive {
  std::string id;
  std::string target;
  bool takes_volumes = true;
};

struct MountedDrives {
  std::vector<MountedDrive> drives;
  std::vector<std::string> missing;  // ids of drives of the pool that are not there
};

class FilesystemDrives {
 public:
  FilesystemDrives(const PoolEnvironment& env, const PoolSpec& spec, PoolFilesystem filesystem)
      : env_(env), uid_(spec.uid), filesystem_(std::move(filesystem)) {}

  // Mounts every drive that carries the pool, after making every matching free one such a drive.
  // NotReady: there is none.
  absl::StatusOr<MountedDrives> Open(const CallContext& context, PoolRecord& record,
                                     SavePoolRecord save);
  // The drive, which has no volumes, is free afterwards.
  absl::Status Release(PoolRecord& record, const std::string& drive_id, SavePoolRecord save);
  // Unmounts all, those of drives that are gone, too. What is on the drives stays, but unfinished
  // filesystems are erased.
  absl::Status Close(const PoolRecord& record);
  bool Carries(const Drive& drive) const;

 private:
  struct Found {
    std::vector<Drive> carrying, free;
    std::vector<std::string> refused;  // matching, but neither, and why
  };
  std::string FirstUuid() const;
  std::string FurtherUuid(const std::string& drive_id) const;
  std::string FirstTarget(const PoolRecord& record) const;
  std::string FurtherTarget(const PoolRecord& record, const std::string& drive_id) const;
  std::string Target(const PoolRecord& record, const Drive& drive) const;
  // How the scanner calls a drive that nobody uses and that bears what an interrupted mkfs left.
  std::string Unfinished() const;
  absl::StatusOr<Found> Look(PoolRecord& record, SavePoolRecord save);
  // The drive with its new signature.
  absl::StatusOr<Drive> Format(const CallContext& context, PoolRecord& record, Drive drive,
                               bool first, SavePoolRecord save);
  absl::Status Mount(const CallContext& context, const Drive& drive, const std::string& target);
  absl::Status Erase(const Drive& drive);
  // Takes down the mounts of drives that are gone.
  absl::Status DetachDead(const PoolRecord& record);

  const PoolEnvironment& env_;
  const std::string uid_;
  const PoolFilesystem filesystem_;
};

}  // namespace ashlar::node_agent
