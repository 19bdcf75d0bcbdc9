// The contract suite of sys::LoopDevices and sys::MountTable. A test program instantiates it for an
// implementation:
//   INSTANTIATE_TEST_SUITE_P(Fake, KernelContract, testing::Values(KernelParam{"Fake", [] { ...
//   }}));
#pragma once

#include <functional>
#include <memory>
#include <ostream>
#include <string>

#include "gtest/gtest.h"
#include "lib/system/loop_devices.h"
#include "lib/system/mount_table.h"

namespace ashlar::node_agent {

class KernelUnderTest {
 public:
  virtual ~KernelUnderTest() = default;
  virtual sys::LoopDevices& loops() = 0;
  virtual sys::MountTable& mounts() = 0;
  // A folder of the test's own.
  virtual std::string folder() const = 0;
  // A file with an ext4 filesystem.
  virtual std::string MakeImage(const std::string& name) = 0;
};

struct KernelParam {
  std::string name;
  std::function<std::unique_ptr<KernelUnderTest>()> make;
};
inline void PrintTo(const KernelParam& param, std::ostream* out) { *out << param.name; }

class KernelContract : public testing::TestWithParam<KernelParam> {
 protected:
  void SetUp() override;
  sys::LoopDevices& loops() { return kernel_->loops(); }
  sys::MountTable& mounts() { return kernel_->mounts(); }
  std::string Path(const std::string& name) const { return kernel_->folder() + "/" + name; }

  std::unique_ptr<KernelUnderTest> kernel_;
};

}  // namespace ashlar::node_agent
