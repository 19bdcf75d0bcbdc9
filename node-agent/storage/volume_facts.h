// What describes a volume. The facts are kept on the medium, beside the volume's bytes. Values.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "lib/base/json.h"

namespace ashlar::node_agent {

constexpr int64_t kMiB = int64_t{1} << 20;

enum class VolumeMode { kFilesystem, kBlock };
enum class VolumeKind {
  kVolume,
  kSnapshot,  // is never staged
  kInline,    // a volume that a pod asked for in its own spec; it goes with the pod
};

struct VolumeFacts {
  std::string id;  // unique among the volumes and snapshots of a node
  std::string pool;
  std::string pool_uid;
  VolumeMode mode = VolumeMode::kFilesystem;
  std::string fs_type;  // ext4, xfs, btrfs; empty for block
  VolumeKind kind = VolumeKind::kVolume;
  std::string source;  // id of the volume or snapshot that it is a copy of; empty: none
  bool operator==(const VolumeFacts&) const = default;
};

class BlockMaps;

// What a path of a volume is, and so how it is attached.
enum class VolumeForm {
  kImage,      // a file: by a loop device
  kDevice,     // a block device: as it is
  kDirectory,  // a directory: it is bound
};

struct StoredVolume {
  VolumeFacts facts;
  int64_t size_bytes = 0;
  std::string path;
  VolumeForm form = VolumeForm::kImage;
  int64_t used_bytes = 0;    // of a directory: what its quota counts
  int64_t extents = 0;       // 0: the medium does not tell
  std::string problem;       // what is wrong with it; empty: nothing that the medium knows of
  bool unreachable = false;  // if there is a problem: nobody reaches its bytes
  bool discard = false;      // discards give bytes back to the pool and to nobody else's loss
  std::string drive = {};    // id of the drive that it lies on; empty: on several, or not known
  // Tell where the bytes of a device lie that is never written again; null: nobody does.
  std::shared_ptr<BlockMaps> maps = {};
  int64_t map_key = -1;  // by which they know it
};

absl::string_view ModeName(VolumeMode mode);  // "filesystem", "block"
absl::StatusOr<VolumeMode> ModeFromName(absl::string_view name);
absl::string_view KindName(VolumeKind kind);  // "volume", "snapshot", "inline"

Json FactsToJson(const VolumeFacts& facts);
// InvalidArgument names what is missing.
absl::StatusOr<VolumeFacts> FactsFromJson(const Json& json);

// InvalidArgument unless `id` is a DNS-1123 subdomain of at most 253 bytes; `field` is named.
absl::Status ValidateName(absl::string_view field, absl::string_view id);
// InvalidArgument unless the pair of mode and filesystem type is one that we make.
absl::Status ValidateFormat(VolumeMode mode, absl::string_view fs_type);
// `size_bytes` rounded up to a multiple of 1 MiB. InvalidArgument if it is not positive, too large
// to round, or below the least that the filesystem type can live in.
absl::StatusOr<int64_t> RoundedSize(int64_t size_bytes, absl::string_view fs_type);

// The name of a volume's or pool's files, without extension: `id`, or, where that would be too long
// for a file name, its beginning and a hash. Never collides with an id that is short enough.
std::string FileStem(absl::string_view id);

}  // namespace ashlar::node_agent
