// FNV-1a: the same number in every process and release, unlike absl::Hash; no protection against
// people who look for collisions. Thread-safe.
#pragma once

#include <cstdint>

#include "absl/strings/string_view.h"

namespace ashlar {

inline constexpr uint64_t kFnvBasis = 14695981039346656037u;

inline uint64_t Fnv1a(absl::string_view text, uint64_t basis = kFnvBasis) {
  uint64_t hash = basis;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211u;
  return hash;
}

}  // namespace ashlar
