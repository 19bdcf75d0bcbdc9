#include "node-agent/volume/snapshot_extents.h"

#include <fcntl.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "lib/base/status_macros.h"
#include "lib/system/extent_map.h"
#include "lib/system/files.h"

namespace ashlar::node_agent {
namespace {

constexpr uint32_t kExtentsAtOnce = 1024;

// Of an image, by the extents of its file.
class ImageMap final : public BlockMap {
 public:
  static absl::StatusOr<std::unique_ptr<BlockMap>> Open(const StoredVolume& snapshot) {
    ASHLAR_ASSIGN_OR_RETURN(sys::UniqueFd fd, sys::OpenFile(snapshot.path, O_RDONLY));
    auto map = std::unique_ptr<ImageMap>(new ImageMap(snapshot.facts.id, std::move(fd)));
    ASHLAR_RETURN_IF_ERROR(map->CheckThere());
    return map;
  }

  absl::StatusOr<MapPart> From(int64_t offset) override {
    MapPart part;
    ASHLAR_ASSIGN_OR_RETURN(part.extents, sys::MapExtents(fd_.get(), static_cast<uint64_t>(offset),
                                                          kExtentsAtOnce, id_));
    ASHLAR_RETURN_IF_ERROR(CheckThere());
    part.last = part.extents.size() < kExtentsAtOnce;
    return part;
  }

 private:
  ImageMap(std::string id, sys::UniqueFd fd) : id_(std::move(id)), fd_(std::move(fd)) {}

  // An image is unlinked before its blocks are given back: while it has a name, its map is its own.
  absl::Status CheckThere() const {
    ASHLAR_ASSIGN_OR_RETURN(const sys::OpenFileStat stat, sys::StatOpenFile(fd_.get(), id_));
    if (stat.has_name) return absl::OkStatus();
    return absl::NotFoundError(absl::StrCat("snapshot ", id_, " was removed meanwhile"));
  }

  const std::string id_;
  const sys::UniqueFd fd_;
};

}  // namespace

absl::StatusOr<std::vector<SnapshotExtents::Map>> SnapshotExtents::Maps(
    const CallContext& context, const std::vector<const StoredVolume*>& snapshots) {
  const StoredVolume& first = *snapshots.front();
  std::vector<Map> maps;
  if (first.maps != nullptr) {
    std::vector<int64_t> keys;
    for (const StoredVolume* snapshot : snapshots) keys.push_back(snapshot->map_key);
    return first.maps->Read(context, keys);
  }
  if (first.form != VolumeForm::kImage)
    return absl::UnimplementedError(absl::StrCat("the backend of pool ", first.facts.pool,
                                                 " does not tell where a snapshot's bytes lie"));
  for (const StoredVolume* snapshot : snapshots) {
    ASHLAR_ASSIGN_OR_RETURN(Map map, ImageMap::Open(*snapshot));
    maps.push_back(std::move(map));
  }
  return maps;
}

absl::StatusOr<SnapshotExtents> SnapshotExtents::Open(const CallContext& context,
                                                      const StoredVolume& snapshot,
                                                      const std::optional<StoredVolume>& base,
                                                      int64_t offset) {
  std::vector<const StoredVolume*> wanted = {&snapshot};
  if (base) wanted.push_back(&*base);
  if (offset < 0 || offset > snapshot.size_bytes)
    return absl::OutOfRangeError(
        absl::StrCat("starting_offset is ", offset, "; it must be 0 to ", snapshot.size_bytes));
  ASHLAR_ASSIGN_OR_RETURN(std::vector<Map> maps, Maps(context, wanted));
  return SnapshotExtents(snapshot.size_bytes, std::move(maps[0]),
                         base ? std::move(maps[1]) : nullptr, offset);
}

absl::StatusOr<ExtentPart> SnapshotExtents::Read(BlockMap& map) const {
  ASHLAR_ASSIGN_OR_RETURN(MapPart part, map.From(at_));
  int64_t known_to = bytes_;  // all that is not mapped is a hole
  if (!part.last)
    known_to = std::min(
        known_to, static_cast<int64_t>(part.extents.back().logical + part.extents.back().bytes));
  return ExtentPart{std::move(part.extents), known_to};
}

absl::StatusOr<std::vector<ByteRange>> SnapshotExtents::Next() {
  ASHLAR_ASSIGN_OR_RETURN(const ExtentPart target, Read(*target_));
  ExtentPart base{{}, bytes_};
  if (base_ != nullptr) {
    ASHLAR_ASSIGN_OR_RETURN(base, Read(*base_));
  }
  const int64_t end = std::min(base.known_to, target.known_to);
  std::vector<ByteRange> ranges = DifferingRanges(base, target, {at_, end - at_});
  at_ = end;
  return ranges;
}

}  // namespace ashlar::node_agent
