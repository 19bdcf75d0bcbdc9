// ThinMaps: where the blocks of the thin volumes of one pool lie. The kernel keeps a snapshot of
// the pool's metadata (one at a time; Documentation/admin-guide/device-mapper/thin-provisioning)
// while thin_dump reads it; writes to volumes go on meanwhile. Thread-safe.
#pragma once

#include <string>
#include <utility>

#include "lib/base/mutex.h"
#include "lib/system/command_runner.h"
#include "node-agent/storage/block_maps.h"

namespace ashlar::node_agent {

class ThinMaps final : public BlockMaps {
 public:
  // `pool` is the device mapper's name of the pool; dumps are written into `folder`, without names.
  ThinMaps(sys::CommandRunner& commands, std::string pool, std::string folder)
      : commands_(commands), pool_(std::move(pool)), folder_(std::move(folder)) {}

  // Keys are the pool's numbers of its volumes.
  absl::StatusOr<std::vector<std::unique_ptr<BlockMap>>> Read(
      const CallContext& context, const std::vector<int64_t>& keys) override;
  // Lets go of what an earlier process was reading.
  absl::Status ReleaseLeftover();

 private:
  absl::StatusOr<std::string> Ask(const std::string& what);
  absl::Status Send(const std::string& message);
  absl::Status ReleaseLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::StatusOr<std::unique_ptr<BlockMap>> Dump(const CallContext& context,
                                                 const std::string& metadata, int64_t key);

  sys::CommandRunner& commands_;
  const std::string pool_, folder_;
  Mutex mu_;  // held while the metadata's snapshot is there
};

// The device of a pool's metadata, by the pool's `dmsetup table`; empty: it is no thin pool.
std::string MetadataDevice(absl::string_view table);
// Whether there is a snapshot of the metadata, by the pool's `dmsetup status`.
bool HoldsMetadata(absl::string_view status);

}  // namespace ashlar::node_agent
