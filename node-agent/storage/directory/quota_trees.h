// QuotaTrees: directories of one filesystem that hold at most so many bytes each. One
// implementation for each kind of filesystem that can count them. Thread-safe for different trees.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "lib/base/call_context.h"

namespace ashlar::node_agent {

class QuotaTrees {
 public:
  virtual ~QuotaTrees() = default;

  virtual std::string fs_type() const = 0;
  // Whether Create takes a source.
  virtual bool copies() const = 0;
  // What the filesystem keeps for itself and counts for no tree.
  virtual int64_t MetadataBytes(int64_t filesystem_bytes) const = 0;
  // Makes the empty directory `path`, or one with the files that `source` has at this moment. It
  // has no limit yet. A read-only one is never written to by anybody.
  virtual absl::Status Create(const std::string& path, const std::string& source,
                              bool read_only) = 0;
  // The most bytes that the tree may hold: writes beyond it fail.
  virtual absl::Status Limit(const std::string& path, int64_t bytes) = 0;
  virtual absl::StatusOr<int64_t> UsedBytes(const std::string& path) = 0;
  // With everything in it; can take as long as there are files. Absent is OK. What is left of an
  // interrupted call is removed by the next.
  virtual absl::Status Delete(const CallContext& context, const std::string& path) = 0;
  // All of the above is on the medium when it returns.
  virtual absl::Status Commit(const std::string& path) = 0;
};

// For the filesystem that `root` lies on. FailedPrecondition says what it lacks.
absl::StatusOr<std::unique_ptr<QuotaTrees>> OpenQuotaTrees(const std::string& root);

}  // namespace ashlar::node_agent
