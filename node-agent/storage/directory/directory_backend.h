// DirectoryBackend: a volume is a directory with a quota, below <root>/volumes: a subvolume of
// btrfs or a project of XFS (quota_trees.h).
//
//   <id>.vol.partial/     being made, or being removed
//   <id>.vol/data         what pods see
//   <id>.vol/facts.json   what describes the volume, and its size
//
// The rename from .partial is the moment of birth, the rename back that of death; the files go in
// the background (wipes.h), and until they are gone their bytes count as allocated. All promises
// together are held against the filesystem's capacity. Filesystem volumes only, of the filesystem's
// type. Thread-safe as StorageBackend says.
#pragma once

#include "lib/base/mutex.h"
#include "node-agent/storage/directory/quota_trees.h"
#include "node-agent/storage/storage_backend.h"
#include "node-agent/storage/wipes.h"

namespace ashlar::node_agent {

struct DirectoryBackendOptions {
  std::string root;           // a directory that exists
  int64_t reserve_bytes = 0;  // never given to volumes
  int64_t limit_bytes = 0;    // most that volumes may use; 0: the filesystem's
};

class DirectoryBackend final : public StorageBackend {
 public:
  explicit DirectoryBackend(DirectoryBackendOptions options)
      : root_(options.root), options_(std::move(options)) {}

  // Removes what an interrupted call left. FailedPrecondition: the filesystem has no quotas.
  // Called once, before all else.
  absl::Status Open();
  // From now on these limits hold. The root does not change.
  void SetLimits(const DirectoryBackendOptions& options);

  BackendTraits Traits() const override {
    return {false, {trees_->fs_type()}, true, trees_->copies()};
  }
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
  std::string PathOf(const std::string& id) const;
  absl::StatusOr<PoolUsage> UsageLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(space_mu_);
  absl::Status CheckRoom(int64_t more_bytes) ABSL_EXCLUSIVE_LOCKS_REQUIRED(space_mu_);
  absl::Status Build(const VolumeFacts& facts, int64_t size_bytes, const std::string& partial);
  absl::StatusOr<StoredVolume> Describe(const std::string& path);
  absl::Status Discard(const CallContext& context, const std::string& partial);
  Wipes::Work RemovalOf(const std::string& partial);
  // Has the drive forget, soon and in the background, what removed volumes held.
  void TrimSoon();
  void Trim(const CallContext& context);

  const std::string root_;
  std::unique_ptr<QuotaTrees> trees_;  // set by Open
  // Held while room is looked for and promised, which must be one step.
  Mutex space_mu_;
  DirectoryBackendOptions options_ ABSL_GUARDED_BY(space_mu_);
  RealClock clock_;
  bool trim_wanted_ ABSL_GUARDED_BY(space_mu_) = false;
  Wipes wipes_;  // last: its threads use all of the above
};

}  // namespace ashlar::node_agent
