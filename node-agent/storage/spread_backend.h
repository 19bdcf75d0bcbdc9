// SpreadBackend: a pool of several drives, each with a backend of its own. A volume lies on one of
// them, a new one where the largest volume would fit. Thread-safe as StorageBackend says.
#pragma once

#include <memory>
#include <set>
#include <string>
#include <vector>

#include "lib/base/mutex.h"
#include "node-agent/storage/storage_backend.h"

namespace ashlar::node_agent {

struct SpreadPart {
  std::string drive;  // id
  std::shared_ptr<StorageBackend> backend;
  bool takes_volumes = true;
};

class SpreadBackend final : public StorageBackend {
 public:
  // From now on the pool lies on these parts, one or more, all of one kind. `missing` names drives
  // of the pool that are not there: what is not found might be on them.
  void SetParts(std::vector<SpreadPart> parts, std::vector<std::string> missing);
  // From now on nobody uses the part. False, and nothing is changed: a volume is being made on it.
  bool RemovePart(const std::string& drive);

  BackendTraits Traits() const override;
  // Of drives that take no volumes only what is allocated counts.
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
  std::vector<SpreadPart> Parts() const;
  // The part that has the volume. NotFound: none has it. Unavailable: one that is missing, or
  // that cannot be read, might.
  absl::StatusOr<SpreadPart> PartOf(const std::string& id);
  // Those that a new volume could go to, the one with the largest room first.
  absl::StatusOr<std::vector<SpreadPart>> Candidates(const VolumeFacts& facts, int64_t size_bytes,
                                                     const std::string& drive);

  // Create on this part. Unavailable: it is no part any more.
  absl::StatusOr<StoredVolume> CreateOn(const SpreadPart& part, const CallContext& context,
                                        const VolumeFacts& facts, int64_t size_bytes);

  mutable Mutex mu_;
  std::vector<SpreadPart> parts_ ABSL_GUARDED_BY(mu_);
  std::vector<std::string> missing_ ABSL_GUARDED_BY(mu_);
  std::multiset<std::string> making_ ABSL_GUARDED_BY(mu_);  // drives on which volumes are made
  BackendTraits traits_ ABSL_GUARDED_BY(mu_);
};

}  // namespace ashlar::node_agent
