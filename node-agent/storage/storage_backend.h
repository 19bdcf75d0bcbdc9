// StorageBackend: makes volumes out of one pool. The medium is the truth about which volumes exist;
// a backend keeps nothing in memory that it could not find there again. Thread-safe for different
// volumes; calls for one volume must not overlap (the volume manager sees to that).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/base/call_context.h"
#include "node-agent/storage/volume_facts.h"

namespace ashlar::node_agent {

// The room of one drive: as PoolUsage has it, of volumes that lie on this drive alone.
struct DriveUsage {
  std::string id;
  int64_t capacity_bytes = 0;
  int64_t allocated_bytes = 0;
  int64_t allocatable_bytes = 0;  // at most the pool's
  int64_t largest_bytes = 0;
  bool operator==(const DriveUsage&) const = default;
};

// A Create of up to largest_bytes succeeds, and so do several of up to allocatable_bytes together
// if each fits on a drive, if nobody else takes room of a shared filesystem in between.
struct PoolUsage {
  int64_t capacity_bytes = 0;     // what volumes could get if there were none
  int64_t allocated_bytes = 0;    // promised to volumes, also to those being made
  int64_t allocatable_bytes = 0;  // never negative; a multiple of 1 MiB
  int64_t largest_bytes = 0;      // the largest single volume; at most allocatable_bytes
  // Of each drive that Create can be told. Where nothing is reserved they have allocatable_bytes
  // together. Empty: volumes of the pool lie on no one drive, or it takes none now.
  std::vector<DriveUsage> drives = {};
};

// What the volumes of a backend can do. What a backend cannot do answers Unimplemented.
struct BackendTraits {
  bool block = true;                  // volumes of mode block
  std::vector<std::string> fs_types;  // of volumes of mode filesystem
  bool grow = true;
  bool copy = false;  // Create with a source: snapshots, clones, restores
  // Create with a source that is mounted freezes its filesystem itself, and before Linux 6.8 cannot
  // if somebody has frozen it already.
  bool copy_freezes = false;
  // List tells what is wrong with a volume; it is asked every few seconds and must be cheap.
  bool tells_problems = false;
};

class StorageBackend {
 public:
  virtual ~StorageBackend() = default;

  virtual BackendTraits Traits() const = 0;
  virtual absl::StatusOr<PoolUsage> Usage() = 0;
  // Makes the volume or snapshot, on the medium: it exists as a whole or not at all, whatever
  // interrupts the call. `size_bytes` comes from RoundedSize. Without a source it is formatted, and
  // its bytes never show what was there before. With one it begins with the bytes that the source
  // has at the moment of the call and is at least as large; its filesystem is left as it is copied.
  // It lies on `drive` alone, one of Usage().drives, and stays there when it grows; empty: wherever
  // the backend finds room. ResourceExhausted says how much there is. AlreadyExists: Find it.
  // NotFound: no such source. InvalidArgument: the pool's volumes lie on no one drive.
  // FailedPrecondition: the pool does not have the drive, or takes no volumes on it, or the source
  // lies on another one.
  virtual absl::StatusOr<StoredVolume> Create(const CallContext& context, const VolumeFacts& facts,
                                              int64_t size_bytes, const std::string& drive) = 0;
  virtual absl::StatusOr<StoredVolume> Find(const std::string& id) = 0;
  // What cannot be read is logged and left out.
  virtual absl::StatusOr<std::vector<StoredVolume>> List() = 0;
  // Makes the volume's bytes more, not its filesystem. A size that is not larger changes nothing.
  virtual absl::StatusOr<StoredVolume> Grow(const CallContext& context, const std::string& id,
                                            int64_t size_bytes) = 0;
  // Makes the volume's path usable, before it is staged and after its filesystem has grown: what
  // was deactivated is activated, blocks that were punched out of a full volume are given back.
  virtual absl::StatusOr<StoredVolume> Prepare(const CallContext& context,
                                               const std::string& id) = 0;
  // Gives the bytes back; nobody reads them in another volume. Absent is OK. Copies of the volume
  // stay as they are.
  virtual absl::Status Remove(const CallContext& context, const std::string& id) = 0;
};

}  // namespace ashlar::node_agent
