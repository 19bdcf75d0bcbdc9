// BlockMaps: where the bytes of volumes lie that are never written again, told by their medium.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/base/call_context.h"
#include "lib/system/extent_map.h"

namespace ashlar::node_agent {

struct MapPart {
  std::vector<sys::MappedExtent> extents;  // in order; between and behind them are holes
  bool last = false;                       // the volume has no more
};

// Of one volume. Not thread-safe.
class BlockMap {
 public:
  virtual ~BlockMap() = default;
  // From the extent that ends behind `offset` on. Offsets must not go back.
  virtual absl::StatusOr<MapPart> From(int64_t offset) = 0;
};

// Thread-safe.
class BlockMaps {
 public:
  virtual ~BlockMaps() = default;
  // Of the volumes that the backend has given these keys, at one moment. NotFound: one is gone.
  virtual absl::StatusOr<std::vector<std::unique_ptr<BlockMap>>> Read(
      const CallContext& context, const std::vector<int64_t>& keys) = 0;
};

}  // namespace ashlar::node_agent
