#include "lib/system/freed_space.h"

#include "gtest/gtest.h"

namespace ashlar::sys {
namespace {

constexpr int64_t kGiB = int64_t{1} << 30;

TEST(FreedSpace, RangesThatAreNearEachOtherAreOne) {
  using Ranges = std::vector<SpaceRange>;
  EXPECT_EQ(JoinRanges({}, 4), Ranges{});
  EXPECT_EQ(JoinRanges({{4096, 4096}, {0, 4096}}, 4), (Ranges{{0, 8192}}));
  EXPECT_EQ(JoinRanges({{0, 8192}, {4096, 1024}}, 4), (Ranges{{0, 8192}})) << "one in another";
  EXPECT_EQ(JoinRanges({{kGiB, 4096}, {0, 4096}}, 4), (Ranges{{0, 4096}, {kGiB, 4096}}));
  EXPECT_EQ(JoinRanges({{0, 1}, {kGiB, 1}, {2 * kGiB, 1}}, 2), (Ranges{{0, 2 * kGiB + 1}}));
}

}  // namespace
}  // namespace ashlar::sys
