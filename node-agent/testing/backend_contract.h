// The contract suite of StorageBackend. A test program instantiates it for an implementation, as
// kernel_contract.h has it. What a backend's traits leave out must be refused as Unimplemented.
#pragma once

#include <functional>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "node-agent/storage/storage_backend.h"

namespace ashlar::node_agent {

class BackendUnderTest {
 public:
  virtual ~BackendUnderTest() = default;
  // Without volumes at first, with room for 200 MiB or more.
  virtual StorageBackend& backend() = 0;
  // As a new process finds the medium: backend() is another object, nothing is in memory.
  virtual void Reopen() = 0;
  // The devices or files that all bytes of the volumes end up in. Empty: not to be looked at.
  virtual std::vector<std::string> Raw() { return {}; }
};

struct BackendParam {
  std::string name;
  std::function<std::unique_ptr<BackendUnderTest>()> make;
  // Volumes may be larger than what was asked for by less than this.
  int64_t granularity_bytes = kMiB;
};
inline void PrintTo(const BackendParam& param, std::ostream* out) { *out << param.name; }

class BackendContract : public testing::TestWithParam<BackendParam> {
 protected:
  void SetUp() override;
  StorageBackend& backend() { return tested_->backend(); }
  // Block volumes where the backend has them and `fs_type` is empty, else of its first filesystem.
  absl::StatusOr<StoredVolume> Create(const std::string& id, int64_t size_bytes,
                                      const std::string& fs_type = "",
                                      const std::string& source = "",
                                      VolumeKind kind = VolumeKind::kVolume,
                                      const std::string& drive = "");
  // Whether the volume has what was asked for, and no more than a granule besides.
  static bool HasSize(const StoredVolume& volume, int64_t size_bytes);

  std::unique_ptr<BackendUnderTest> tested_;
};

// What holds where a drive is named; for every backend, and once more for those that can have
// several drives, on two of them.
class NamedDriveContract : public BackendContract {};

}  // namespace ashlar::node_agent
