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

// A Create of up to allocatable_bytes succeeds, as one volume or as several, if nobody else takes
// room of a shared filesystem in between.
struct PoolUsage {
  int64_t capacity_bytes = 0;     // what volumes could get if there were none
  int64_t allocated_bytes = 0;    // promised to volumes, also to those being made
  int64_t allocatable_bytes = 0;  // never negative; a multiple of 1 MiB
};

class StorageBackend {
 public:
  virtual ~StorageBackend() = default;

  virtual absl::StatusOr<PoolUsage> Usage() = 0;
  // Makes the volume, formatted and on the medium: it exists as a whole or not at all, whatever
  // interrupts the call. Its bytes never show what was there before. `size_bytes` comes from
  // RoundedSize. ResourceExhausted says how much there is. AlreadyExists: Find it.
  virtual absl::StatusOr<StoredVolume> Create(const CallContext& context, const VolumeFacts& facts,
                                              int64_t size_bytes) = 0;
  virtual absl::StatusOr<StoredVolume> Find(const std::string& id) = 0;
  // What cannot be read is logged and left out.
  virtual absl::StatusOr<std::vector<StoredVolume>> List() = 0;
  // Makes the volume's bytes more, not its filesystem. A size that is not larger changes nothing.
  virtual absl::StatusOr<StoredVolume> Grow(const CallContext& context, const std::string& id,
                                            int64_t size_bytes) = 0;
  // Gives back to a fully provisioned volume the blocks that were punched out of it.
  virtual absl::Status Refill(const std::string& id) = 0;
  // Gives the bytes back; absent is OK.
  virtual absl::Status Remove(const std::string& id) = 0;
  // Removes what an interrupted Create left. Called once, before any Create.
  virtual absl::Status RemoveLeftovers() = 0;
};

}  // namespace ashlar::node_agent
