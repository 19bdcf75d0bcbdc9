// How deep JSON values are nested: the walks over them are recursive and need a bound. No state.
#pragma once

#include "lib/base/json.h"

namespace ashlar::standalone {

inline constexpr int kMaxJsonDepth = 200;

// Looks no deeper than it must.
inline bool DeeperThan(const Json& value, int levels) {
  if (levels < 0) return true;
  if (!value.is_structured()) return false;
  for (const Json& child : value) {
    if (DeeperThan(child, levels - 1)) return true;
  }
  return false;
}

}  // namespace ashlar::standalone
