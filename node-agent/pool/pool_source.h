// PoolSource: where the volume manager finds the backends of this node's pools. Thread-safe.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "node-agent/storage/storage_backend.h"

namespace ashlar::node_agent {

class PoolSource {
 public:
  virtual ~PoolSource() = default;
  // NotFound: there is no such pool on this node. FailedPrecondition: it is not ready; says why.
  virtual absl::StatusOr<std::shared_ptr<StorageBackend>> Backend(const std::string& pool) = 0;
  // The uid of the pool; NotFound as above.
  virtual absl::StatusOr<std::string> Uid(const std::string& pool) = 0;
  // The largest inline volume that a pod may ask for, 0 for none; NotFound as above.
  virtual absl::StatusOr<int64_t> InlineVolumeMaxBytes(const std::string& pool) = 0;
  virtual std::vector<std::string> ReadyPools() = 0;
};

}  // namespace ashlar::node_agent
