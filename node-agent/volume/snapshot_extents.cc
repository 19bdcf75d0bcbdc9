#include "node-agent/volume/snapshot_extents.h"

#include <fcntl.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "lib/base/status_macros.h"
#include "lib/system/extent_map.h"

namespace ashlar::node_agent {
namespace {

constexpr uint32_t kExtentsAtOnce = 1024;

}  // namespace

absl::StatusOr<SnapshotExtents::Image> SnapshotExtents::OpenImage(const StoredVolume& snapshot) {
  if (snapshot.form != VolumeForm::kImage)
    return absl::UnimplementedError(absl::StrCat("the backend of pool ", snapshot.facts.pool,
                                                 " does not tell where a snapshot's bytes lie"));
  Image image{.id = snapshot.facts.id};
  ASHLAR_ASSIGN_OR_RETURN(image.fd, sys::OpenFile(snapshot.path, O_RDONLY));
  ASHLAR_ASSIGN_OR_RETURN(const sys::OpenFileStat stat,
                          sys::StatOpenFile(image.fd.get(), snapshot.path));
  image.bytes = stat.bytes;
  return image;
}

absl::StatusOr<SnapshotExtents> SnapshotExtents::Open(const StoredVolume& snapshot,
                                                      const std::optional<StoredVolume>& base,
                                                      int64_t offset) {
  ASHLAR_ASSIGN_OR_RETURN(Image target, OpenImage(snapshot));
  std::optional<Image> other;
  if (base) {
    ASHLAR_ASSIGN_OR_RETURN(other, OpenImage(*base));
    ASHLAR_RETURN_IF_ERROR(CheckThere(*other));
  }
  ASHLAR_RETURN_IF_ERROR(CheckThere(target));
  if (offset < 0 || offset > target.bytes)
    return absl::OutOfRangeError(
        absl::StrCat("starting_offset is ", offset, "; it must be 0 to ", target.bytes));
  return SnapshotExtents(std::move(target), std::move(other), offset);
}

// An image is unlinked before its blocks are given back: while it has a name, its map is its own.
absl::Status SnapshotExtents::CheckThere(const Image& image) {
  ASHLAR_ASSIGN_OR_RETURN(const sys::OpenFileStat stat,
                          sys::StatOpenFile(image.fd.get(), image.id));
  if (stat.has_name) return absl::OkStatus();
  return absl::NotFoundError(absl::StrCat("snapshot ", image.id, " was removed meanwhile"));
}

absl::StatusOr<ExtentPart> SnapshotExtents::Read(const Image& image) const {
  ExtentPart part;
  ASHLAR_ASSIGN_OR_RETURN(part.extents,
                          sys::MapExtents(image.fd.get(), at_, kExtentsAtOnce, image.id));
  ASHLAR_RETURN_IF_ERROR(CheckThere(image));
  part.known_to = target_.bytes;  // all that a file does not map is a hole
  if (part.extents.size() == kExtentsAtOnce)
    part.known_to = std::min(part.known_to, static_cast<int64_t>(part.extents.back().logical +
                                                                 part.extents.back().bytes));
  return part;
}

absl::StatusOr<std::vector<ByteRange>> SnapshotExtents::Next() {
  ASHLAR_ASSIGN_OR_RETURN(const ExtentPart target, Read(target_));
  ExtentPart base{{}, target_.bytes};
  if (base_) {
    ASHLAR_ASSIGN_OR_RETURN(base, Read(*base_));
  }
  const int64_t end = std::min(base.known_to, target.known_to);
  std::vector<ByteRange> ranges = DifferingRanges(base, target, {at_, end - at_});
  at_ = end;
  return ranges;
}

}  // namespace ashlar::node_agent
