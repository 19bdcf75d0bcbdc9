// The contract suite of StorageBackend. A test program instantiates it for an implementation, as
// kernel_contract.h has it.
#pragma once

#include <functional>
#include <memory>
#include <ostream>
#include <string>

#include "gtest/gtest.h"
#include "node-agent/storage/storage_backend.h"

namespace ashlar::node_agent {

struct BackendParam {
  std::string name;
  // A backend without volumes, of 200 MiB or more. What it needs lives as long as the pointer.
  std::function<std::shared_ptr<StorageBackend>()> make;
};
inline void PrintTo(const BackendParam& param, std::ostream* out) { *out << param.name; }

class BackendContract : public testing::TestWithParam<BackendParam> {
 protected:
  void SetUp() override;
  absl::StatusOr<StoredVolume> Create(const std::string& id, int64_t size_bytes,
                                      const std::string& fs_type = "");

  std::shared_ptr<StorageBackend> backend_;
};

}  // namespace ashlar::node_agent
