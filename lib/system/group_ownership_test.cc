#include "lib/system/group_ownership.h"

#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "gtest/gtest.h"
#include "lib/base/testing/temporary_directory.h"

namespace ashlar::sys {
namespace {

constexpr gid_t kGroup = 4711;

struct stat Look(const std::string& path) {
  struct stat have = {};
  EXPECT_EQ(lstat(path.c_str(), &have), 0) << path;
  return have;
}

class GroupOwnershipTest : public testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "only root gives files to any group";
    std::filesystem::create_directories(root_ + "/a/b");
    Write(root_ + "/a/file", 0600);
    Write(outside_, 0600);
    std::filesystem::create_symlink(outside_, root_ + "/a/link");
    std::filesystem::create_directory_symlink(directory_.path(), root_ + "/a/b/up");
  }
  static void Write(const std::string& path, mode_t mode) {
    std::ofstream(path) << "x";
    chmod(path.c_str(), mode);
  }

  TemporaryDirectory directory_;
  const std::string root_ = directory_.path() + "/root";
  const std::string outside_ = directory_.path() + "/outside";
};

TEST_F(GroupOwnershipTest, EverythingIsGivenAndNothingOutside) {
  ASSERT_TRUE(GiveToGroup({}, root_, kGroup).ok());
  for (const char* folder : {"", "/a", "/a/b"}) {
    EXPECT_EQ(Look(root_ + folder).st_gid, kGroup) << folder;
    EXPECT_EQ(Look(root_ + folder).st_mode & 02770, 02770u) << folder;
  }
  EXPECT_EQ(Look(root_ + "/a/file").st_gid, kGroup);
  EXPECT_EQ(Look(root_ + "/a/file").st_mode & 07777, 0660u);
  EXPECT_EQ(Look(root_ + "/a/link").st_gid, kGroup);
  EXPECT_NE(Look(outside_).st_gid, kGroup);
  EXPECT_EQ(Look(outside_).st_mode & 07777, 0600u) << "a link was followed";
  EXPECT_NE(Look(directory_.path()).st_gid, kGroup) << "a link was followed";
}

TEST_F(GroupOwnershipTest, ARootThatMatchesIsTheEndOfIt) {
  ASSERT_TRUE(GiveToGroup({}, root_, kGroup).ok());
  Write(root_ + "/new", 0600);
  ASSERT_EQ(chown((root_ + "/new").c_str(), 0, 0), 0);
  ASSERT_TRUE(GiveToGroup({}, root_, kGroup).ok());
  EXPECT_EQ(Look(root_ + "/new").st_gid, 0u);
  ASSERT_EQ(chmod(root_.c_str(), 0750), 0);
  ASSERT_TRUE(GiveToGroup({}, root_, kGroup).ok());
  EXPECT_EQ(Look(root_ + "/new").st_gid, kGroup);
}

TEST_F(GroupOwnershipTest, WhatWasEndedHalfWayIsTakenUpAgain) {
  std::stop_source stop;
  stop.request_stop();
  EXPECT_TRUE(absl::IsCancelled(GiveToGroup({.stop = stop.get_token()}, root_, kGroup)));
  EXPECT_NE(Look(root_).st_gid, kGroup) << "the root comes last";
  ASSERT_TRUE(GiveToGroup({}, root_, kGroup).ok());
  EXPECT_EQ(Look(root_ + "/a/file").st_gid, kGroup);
}

}  // namespace
}  // namespace ashlar::sys
