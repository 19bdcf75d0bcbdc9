#include "lib/system/mount_info.h"

#include "gtest/gtest.h"

namespace ashlar::sys {
namespace {

TEST(MountInfo, ReadsLinesOfTheKernel) {
  const auto mounts = ParseMountInfo(
      "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 shared:2 - ext3 /dev/root rw,errors=continue\n"
      "37 35 7:3 / /var/lib/my\\040dir ro - xfs /dev/loop3 rw\n");
  ASSERT_TRUE(mounts.ok()) << mounts.status();
  ASSERT_EQ(mounts->size(), 2u);
  EXPECT_EQ((*mounts)[0].root, "/mnt1");
  EXPECT_EQ((*mounts)[0].fs_type, "ext3");
  EXPECT_EQ((*mounts)[0].super_options, "rw,errors=continue");
  EXPECT_FALSE((*mounts)[0].read_only());
  EXPECT_EQ((*mounts)[1].mount_point, "/var/lib/my dir");
  EXPECT_EQ((*mounts)[1].major, 7u);
  EXPECT_EQ((*mounts)[1].minor, 3u);
  EXPECT_TRUE((*mounts)[1].read_only());
}

TEST(MountInfo, ABackslashAtTheEndIsNoEscape) {
  EXPECT_EQ((*ParseMountInfo("1 2 3:4 / /a\\ rw - t s o"))[0].mount_point, "/a\\");
}

TEST(MountInfo, NamesALineThatIsNone) {
  for (const char* line :
       {"x", "36 35 98 / / rw - t s o", "36 35 98:0 / / - t s", "a 35 9:0 / / rw - t s"}) {
    const auto mounts = ParseMountInfo(line);
    EXPECT_EQ(mounts.status().code(), absl::StatusCode::kInvalidArgument) << line;
    EXPECT_NE(mounts.status().message().find(line), absl::string_view::npos);
  }
}

}  // namespace
}  // namespace ashlar::sys
