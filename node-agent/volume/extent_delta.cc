#include "node-agent/volume/extent_delta.h"

#include <algorithm>

namespace ashlar::node_agent {
namespace {

using sys::MappedExtent;

// What a file has from some offset on, up to `end`, where that changes.
struct Piece {
  bool zero = true;
  bool located = false;
  int64_t physical = 0;  // of the offset
  int64_t end = 0;
};

bool Same(const Piece& a, const Piece& b) {
  if (a.zero || b.zero) return a.zero && b.zero;
  return a.located && b.located && a.physical == b.physical;
}

// Walks over a map from offset to offset, which must not fall.
class Walk {
 public:
  Walk(const ExtentPart& part, int64_t end) : part_(part), end_(end) {}

  Piece At(int64_t offset) {
    while (next_ < part_.extents.size() && End(part_.extents[next_]) <= offset) ++next_;
    if (next_ == part_.extents.size()) return {.end = end_};
    const MappedExtent& extent = part_.extents[next_];
    const auto begin = static_cast<int64_t>(extent.logical);
    if (begin > offset) return {.end = std::min(begin, end_)};
    return {!extent.written, extent.located,
            static_cast<int64_t>(extent.physical) + (offset - begin), std::min(End(extent), end_)};
  }

 private:
  static int64_t End(const MappedExtent& extent) {
    return static_cast<int64_t>(extent.logical + extent.bytes);
  }

  const ExtentPart& part_;
  const int64_t end_;
  size_t next_ = 0;
};

void Append(std::vector<ByteRange>& ranges, ByteRange range) {
  if (!ranges.empty() && ranges.back().end() == range.offset) {
    ranges.back().bytes += range.bytes;
  } else {
    ranges.push_back(range);
  }
}

}  // namespace

std::vector<ByteRange> WrittenRanges(const ExtentPart& part, ByteRange window) {
  return DifferingRanges({{}, window.end()}, part, window);
}

std::vector<ByteRange> DifferingRanges(const ExtentPart& base, const ExtentPart& target,
                                       ByteRange window) {
  std::vector<ByteRange> ranges;
  Walk in_base(base, window.end()), in_target(target, window.end());
  for (int64_t at = window.offset; at < window.end();) {
    const Piece was = in_base.At(at), is = in_target.At(at);
    const int64_t end = std::min(was.end, is.end);
    if (!Same(was, is)) Append(ranges, {at, end - at});
    at = end;
  }
  return ranges;
}

void AppendRanges(std::vector<ByteRange>& ranges, const std::vector<ByteRange>& more) {
  for (const ByteRange& range : more) Append(ranges, range);
}

}  // namespace ashlar::node_agent
