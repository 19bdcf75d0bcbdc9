#include "lib/system/mount_table.h"

#include <sched.h>
#include <sys/mount.h>

#include <filesystem>
#include <latch>
#include <thread>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/base/testing/temporary_directory.h"
#include "lib/system/files.h"

namespace ashlar::sys {
namespace {

using testing::HasSubstr;

// The agent's container mounts, the host and pods use the mount: each has a mount namespace of its
// own.
TEST(KernelMountTable, FlagsOfABindMountHoldInOtherMountNamespaces) {
  if (unshare(CLONE_NEWNS) != 0) GTEST_SKIP() << "needs root: a mount namespace of its own";
  ASSERT_EQ(mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr), 0);
  const TemporaryDirectory directory;
  const std::string root = std::filesystem::canonical(directory.path());
  ASSERT_EQ(mount("none", root.c_str(), "tmpfs", 0, nullptr), 0);
  ASSERT_EQ(mount("none", root.c_str(), nullptr, MS_SHARED, nullptr), 0);
  std::filesystem::create_directory(root + "/staged");
  std::latch there(1), mounted(1);
  std::string seen;
  std::jthread host([&] {
    EXPECT_EQ(unshare(CLONE_NEWNS), 0);
    there.count_down();
    mounted.wait();
    const auto text = ReadFile("/proc/thread-self/mountinfo", 64 << 20);
    ASSERT_TRUE(text.ok()) << text.status();
    const auto mounts = ParseMountInfo(*text);
    const MountEntry* found = FindMount(*mounts, root + "/target");
    seen = found == nullptr ? "no mount" : found->options;
  });
  there.wait();
  KernelMountTable table;
  const absl::Status bound =
      table.Bind(root + "/staged", root + "/target", MS_RDONLY | MS_NOSUID | MS_NOATIME);
  mounted.count_down();
  host.join();
  EXPECT_TRUE(bound.ok()) << bound;
  EXPECT_THAT(seen, HasSubstr("ro,"));
  EXPECT_THAT(seen, HasSubstr("nosuid"));
  EXPECT_THAT(seen, HasSubstr("noatime"));
  const auto here = table.List();
  EXPECT_EQ(FindMount(*here, root + "/target")->options, seen);
  EXPECT_FALSE(FindMount(*here, root)->read_only());
  EXPECT_TRUE(table.Unmount(root + "/target").ok());
  EXPECT_EQ(umount2(root.c_str(), MNT_DETACH), 0);
}

}  // namespace
}  // namespace ashlar::sys
