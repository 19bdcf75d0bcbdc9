// Which bytes of a file were written, and which may differ from those of another, told from where
// their blocks lie. Pure.
//
// Files that are never written again and share a block have the same bytes there, since a write to
// a shared block takes a new one. So what lies in the same place on the device, or reads as zero in
// both, is equal; all else may differ.
#pragma once

#include <cstdint>
#include <vector>

#include "lib/system/extent_map.h"

namespace ashlar::node_agent {

struct ByteRange {
  int64_t offset = 0;
  int64_t bytes = 0;
  int64_t end() const { return offset + bytes; }
  bool operator==(const ByteRange&) const = default;
};

// A part of the map of a file: what lies between the request's start and `known_to`.
struct ExtentPart {
  std::vector<sys::MappedExtent> extents;  // in order
  int64_t known_to = 0;
};

// The ranges of `part` that were written and lie within `window`: in order, never empty, adjacent
// ones as one.
std::vector<ByteRange> WrittenRanges(const ExtentPart& part, ByteRange window);
// The ranges within `window`, which both parts must know, in which the two may differ. As above.
std::vector<ByteRange> DifferingRanges(const ExtentPart& base, const ExtentPart& target,
                                       ByteRange window);
// Appends `more`, which begins where `ranges` ends or behind it.
void AppendRanges(std::vector<ByteRange>& ranges, const std::vector<ByteRange>& more);

}  // namespace ashlar::node_agent
