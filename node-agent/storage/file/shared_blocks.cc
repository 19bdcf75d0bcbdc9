#include "node-agent/storage/file/shared_blocks.h"

#include <algorithm>
#include <iterator>

namespace ashlar::node_agent {

int64_t SharedBlocks::Add(const std::vector<sys::FileExtent>& extents) {
  uint64_t shared = 0;
  for (const sys::FileExtent& extent : extents) {
    if (!extent.shared || extent.bytes == 0) continue;
    shared += extent.bytes;
    uint64_t begin = extent.physical, end = extent.physical + extent.bytes;
    auto next = ranges_.upper_bound(begin);
    if (next != ranges_.begin() && std::prev(next)->second >= begin) --next;
    while (next != ranges_.end() && next->first <= end) {
      begin = std::min(begin, next->first);
      end = std::max(end, next->second);
      next = ranges_.erase(next);
    }
    ranges_[begin] = end;
  }
  return static_cast<int64_t>(shared);
}

int64_t SharedBlocks::TotalBytes() const {
  uint64_t total = 0;
  for (const auto& [begin, end] : ranges_) total += end - begin;
  return static_cast<int64_t>(total);
}

}  // namespace ashlar::node_agent
