// FileBackend: a volume is an image file in <root>/volumes.
//
//   <id>.img.partial   being made: allocated, formatted, described, synced; garbage after a crash
//   <id>.img           a complete volume; the rename from .partial is the moment of its birth. A
//                      copy has no name before
//
// The facts lie in the extended attribute user.ashlar.facts of the image, so that a pool describes
// itself. Works on every filesystem that has fallocate and user attributes (XFS, ext4, btrfs).
// Blocks come from fallocate: the filesystem marks them unwritten, so they read as zero.
//
// A copy is a clone (FICLONE): it shares the source's blocks, which XFS and btrfs can. Sharing
// saves writing, not room: a copy that can be written is promised all its bytes, a snapshot, whose
// file has mode 0400, those that its source had written. So a full volume finds a free block for
// every block that it shares, whatever was snapshot and whatever else the pool was asked for.
// The image of a snapshot is immutable, where the filesystem can keep it so, from when it is
// complete until Remove: nothing changes or removes it by mistake, not even root.
// RemoveLeftovers comes before all else.
// Thread-safe as StorageBackend says.
#pragma once

#include "lib/base/mutex.h"
#include "lib/system/command_runner.h"
#include "lib/system/files.h"
#include "lib/system/unique_fd.h"
#include "node-agent/storage/storage_backend.h"

namespace ashlar::node_agent {

struct FileBackendOptions {
  std::string root;                 // a directory that exists
  bool sparse = false;              // bytes are taken as they are written
  int64_t reserve_bytes = 0;        // never given to volumes
  int64_t limit_bytes = 0;          // most that volumes may use; 0: the filesystem's
  int overprovision_percent = 100;  // of the capacity that may be promised, when sparse
  bool operator==(const FileBackendOptions&) const = default;
};

class FileBackend final : public StorageBackend {
 public:
  FileBackend(sys::CommandRunner& commands, FileBackendOptions options)
      : commands_(commands), root_(options.root), options_(std::move(options)) {}

  // From now on these limits hold. The root does not change.
  void SetLimits(const FileBackendOptions& options);

  // Removes what an interrupted Create left, makes snapshots immutable where that was interrupted,
  // and finds out whether the filesystem can copy. Called once, before any Create.
  absl::Status RemoveLeftovers();

  BackendTraits Traits() const override;
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
  std::string VolumesDirectory() const;
  std::string ImagePath(absl::string_view id) const;
  // ResourceExhausted unless `more_bytes` can be allocated.
  absl::Status CheckRoom(int64_t more_bytes) ABSL_EXCLUSIVE_LOCKS_REQUIRED(space_mu_);
  // What the image is promised: its size, or, of a snapshot, what it holds.
  static int64_t PromisedBytes(const sys::FileStat& stat);
  absl::StatusOr<PoolUsage> UsageLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(space_mu_);
  // `found_bytes`, or what was found before if it differs by no more than the filesystem's own
  // bookkeeping. The room that MetadataBytes keeps covers the difference; without this the
  // rounding to 1 MiB would turn an inode into a MiB that was promised and cannot be had.
  int64_t SteadyCapacity(int64_t found_bytes) ABSL_EXCLUSIVE_LOCKS_REQUIRED(space_mu_);
  // Frees the blocks before it returns, which unlink alone does not on XFS, and has the drive
  // forget them if it can.
  absl::Status Discard(const std::string& path);
  absl::Status Allocate(const std::string& path, int fd, int64_t more_bytes, int64_t size_bytes);
  absl::Status BuildCopy(const VolumeFacts& facts, int64_t size_bytes, const std::string& image);
  // Makes the unnamed file a clone, takes the room that the copy may come to need, and names it.
  absl::Status Clone(const VolumeFacts& facts, int64_t size_bytes, int from,
                     const sys::UniqueFd& to, const std::string& image);
  absl::Status Build(const CallContext& context, const VolumeFacts& facts, int64_t size_bytes,
                     const std::string& path);
  absl::StatusOr<StoredVolume> Describe(const std::string& path);

  sys::CommandRunner& commands_;
  const std::string root_;
  // Held while room is looked for and taken, which must be one step: otherwise two calls could be
  // promised the same bytes, or one be refused because of bytes that another gave up. The system
  // calls under it take milliseconds; formatting happens outside.
  mutable Mutex space_mu_;
  FileBackendOptions options_ ABSL_GUARDED_BY(space_mu_);
  bool can_copy_ ABSL_GUARDED_BY(space_mu_) = false;
  bool has_copies_ ABSL_GUARDED_BY(space_mu_) = false;  // files may share blocks
  // The last capacity that was found. See SteadyCapacity.
  int64_t capacity_bytes_ ABSL_GUARDED_BY(space_mu_) = 0;
};

}  // namespace ashlar::node_agent
