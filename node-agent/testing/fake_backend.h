// FakeBackend: volumes in memory, with a sparse file for each, so that there is something to attach
// and to read. It passes the same contract suite as the real one (backend_contract.h). A volume
// with ext4 has a superblock and nothing else. Thread-safe.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "lib/base/mutex.h"
#include "node-agent/pool/pool_source.h"
#include "node-agent/storage/storage_backend.h"
#include "node-agent/testing/failures.h"

namespace ashlar::node_agent {

class FakeBackend final : public StorageBackend {
 public:
  // `folder` exists.
  FakeBackend(std::string folder, int64_t capacity_bytes)
      : folder_(std::move(folder)), capacity_bytes_(capacity_bytes) {}
  // Each volume lies on one of these drives: capacities by id.
  FakeBackend(std::string folder, std::map<std::string, int64_t> drives);

  Failures& failures() { return failures_; }

  BackendTraits Traits() const override { return {true, {"ext4"}, true, true}; }
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
  PoolUsage UsageLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::Status CheckRoom(int64_t more_bytes, const std::string& drive)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Where a new volume comes to lie.
  absl::StatusOr<std::string> ChooseDrive(const VolumeFacts& facts, int64_t size_bytes,
                                          std::string drive) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const std::string folder_;
  const int64_t capacity_bytes_;
  const std::map<std::string, int64_t> drives_;
  Failures failures_;
  Mutex mu_;
  std::map<std::string, StoredVolume> volumes_ ABSL_GUARDED_BY(mu_);
};

// One pool, "p", of one backend.
class FakePools final : public PoolSource {
 public:
  explicit FakePools(std::shared_ptr<StorageBackend> backend) : backend_(std::move(backend)) {}
  absl::StatusOr<std::shared_ptr<StorageBackend>> Backend(const std::string& pool) override;
  absl::StatusOr<std::string> Uid(const std::string& pool) override;
  absl::StatusOr<int64_t> InlineVolumeMaxBytes(const std::string& pool) override;
  std::vector<std::string> ReadyPools() override { return {"p"}; }

  int64_t inline_volume_max_bytes = 0;

 private:
  const std::shared_ptr<StorageBackend> backend_;
};

}  // namespace ashlar::node_agent
