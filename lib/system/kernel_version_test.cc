#include "lib/system/kernel_version.h"

#include "gtest/gtest.h"

namespace ashlar::sys {
namespace {

TEST(KernelVersion, ComesFromTheRelease) {
  EXPECT_EQ(ParseKernelVersion("6.2.0-5-generic"), (KernelVersion{6, 2}));
  EXPECT_EQ(ParseKernelVersion("6.18-rc1"), (KernelVersion{6, 18}));
  EXPECT_EQ(ParseKernelVersion("x"), KernelVersion{});
  EXPECT_EQ(ParseKernelVersion("6.x"), KernelVersion{});
  EXPECT_LT(ParseKernelVersion("6.9.1"), ParseKernelVersion("6.10.0"));
  EXPECT_GT(RunningKernel(), (KernelVersion{2, 6}));
}

}  // namespace
}  // namespace ashlar::sys
