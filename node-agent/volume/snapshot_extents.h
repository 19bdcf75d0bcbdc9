// SnapshotExtents: reads which bytes of a snapshot were written, or may differ from those of
// another one of the same volume, part by part. It keeps nobody from removing the snapshots: a part
// that may tell of other bytes, since one was removed, is not given. Not thread-safe.
//
// Memory stays the same whatever the number of extents.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/base/call_context.h"
#include "node-agent/storage/block_maps.h"
#include "node-agent/storage/volume_facts.h"
#include "node-agent/volume/extent_delta.h"

namespace ashlar::node_agent {

class SnapshotExtents {
 public:
  // Both are of one pool; without `base` the written bytes are wanted. Unimplemented: the pool does
  // not tell where bytes lie. OutOfRange: `offset` is negative or behind the end. NotFound: a
  // snapshot is gone.
  static absl::StatusOr<SnapshotExtents> Open(const CallContext& context,
                                              const StoredVolume& snapshot,
                                              const std::optional<StoredVolume>& base,
                                              int64_t offset);

  int64_t snapshot_bytes() const { return bytes_; }
  // Whether Next has anything more to give.
  bool AtEnd() const { return at_ >= bytes_; }
  // The next ranges, in order, adjacent ones as one, perhaps none. NotFound: a snapshot was removed
  // meanwhile.
  absl::StatusOr<std::vector<ByteRange>> Next();

 private:
  using Map = std::unique_ptr<BlockMap>;
  SnapshotExtents(int64_t bytes, Map target, Map base, int64_t offset)
      : bytes_(bytes), target_(std::move(target)), base_(std::move(base)), at_(offset) {}

  static absl::StatusOr<std::vector<Map>> Maps(const CallContext& context,
                                               const std::vector<const StoredVolume*>& snapshots);
  absl::StatusOr<ExtentPart> Read(BlockMap& map) const;

  int64_t bytes_;
  Map target_, base_;  // base_ is null if there is none
  int64_t at_;
};

}  // namespace ashlar::node_agent
