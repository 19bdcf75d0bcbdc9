// SharedBlocks: the bytes that files have in common, each counted once. Not thread-safe.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "lib/system/file_clone.h"

namespace ashlar::node_agent {

class SharedBlocks {
 public:
  // Takes up what a file shares, and returns how many of its bytes that are.
  int64_t Add(const std::vector<sys::FileExtent>& extents);
  // What all of them occupy together.
  int64_t TotalBytes() const;

 private:
  std::map<uint64_t, uint64_t> ranges_;  // begin to end, on the device; apart from each other
};

}  // namespace ashlar::node_agent
