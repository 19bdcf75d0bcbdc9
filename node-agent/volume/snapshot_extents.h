// SnapshotExtents: reads which bytes of a snapshot were written, or may differ from those of
// another one of the same volume, part by part. It keeps nobody from removing the snapshots: a part
// that may have been read of a removed one is not given. Not thread-safe.
//
// Memory stays the same whatever the number of extents.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/system/files.h"
#include "node-agent/storage/volume_facts.h"
#include "node-agent/volume/extent_delta.h"

namespace ashlar::node_agent {

class SnapshotExtents {
 public:
  // Both are images; without `base` the written bytes are wanted. OutOfRange: `offset` is negative
  // or behind the end. NotFound: an image is gone.
  static absl::StatusOr<SnapshotExtents> Open(const StoredVolume& snapshot,
                                              const std::optional<StoredVolume>& base,
                                              int64_t offset);

  int64_t snapshot_bytes() const { return target_.bytes; }
  // Whether Next has anything more to give.
  bool AtEnd() const { return at_ >= target_.bytes; }
  // The next ranges, in order, adjacent ones as one, perhaps none. NotFound: a snapshot was removed
  // meanwhile.
  absl::StatusOr<std::vector<ByteRange>> Next();

 private:
  struct Image {
    std::string id;
    sys::UniqueFd fd;
    int64_t bytes = 0;
  };
  SnapshotExtents(Image target, std::optional<Image> base, int64_t offset)
      : target_(std::move(target)), base_(std::move(base)), at_(offset) {}

  static absl::StatusOr<Image> OpenImage(const StoredVolume& snapshot);
  absl::StatusOr<ExtentPart> Read(const Image& image) const;
  static absl::Status CheckThere(const Image& image);

  Image target_;
  std::optional<Image> base_;
  int64_t at_;
};

}  // namespace ashlar::node_agent
