#include "lib/system/files.h"

#include <fcntl.h>
#include <stdlib.h>

#include <filesystem>

#include "gtest/gtest.h"

namespace ashlar::sys {
namespace {

class Files : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = testing::TempDir() + "files.XXXXXX";
    root_ = mkdtemp(name.data());
  }
  void TearDown() override { std::filesystem::remove_all(root_); }
  std::string root_;
};

TEST_F(Files, ReplacedFileHasTheNewContentAndLeavesNothingElse) {
  for (const Durability durability : {Durability::kPowerCut, Durability::kProcessCrash}) {
    ASSERT_EQ(ReplaceFile(root_ + "/a", "one", durability), absl::OkStatus());
    ASSERT_EQ(ReplaceFile(root_ + "/a", "two", durability), absl::OkStatus());
    EXPECT_EQ(*ReadFile(root_ + "/a"), "two");
    EXPECT_EQ(ListDirectory(root_)->size(), 1u);
  }
}

TEST_F(Files, LongFileIsRefusedAndHeadIsRead) {
  ASSERT_EQ(ReplaceFile(root_ + "/a", "12345", Durability::kProcessCrash), absl::OkStatus());
  EXPECT_EQ(ReadFile(root_ + "/a", 4).status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(*ReadHead(root_ + "/a", 3), "123");
  EXPECT_EQ(*ReadHead(root_ + "/a", 100), "12345");
}

TEST_F(Files, AbsentThingsAreRemovedAlready) {
  EXPECT_EQ(RemoveFile(root_ + "/x", Durability::kPowerCut), absl::OkStatus());
  EXPECT_EQ(RemoveEmptyDirectory(root_ + "/x"), absl::OkStatus());
  EXPECT_EQ(StatFile(root_ + "/x").status().code(), absl::StatusCode::kNotFound);
}

TEST_F(Files, PreallocatedBytesAreHeldAndReadAsZero) {
  const auto fd = OpenFile(root_ + "/a", O_RDWR | O_CREAT, 0600);
  ASSERT_EQ(Preallocate(fd->get(), 1 << 20, "a"), absl::OkStatus());
  EXPECT_GE(StatFile(root_ + "/a")->used_bytes, 1 << 20);
  EXPECT_EQ(*ReadHead(root_ + "/a", 4096), std::string(4096, '\0'));
}

TEST_F(Files, HandlesAreMadeWithParentsButNotThroughLinks) {
  ASSERT_TRUE(EnsureHandle(root_ + "/a/b/c", HandleKind::kDirectory).ok());
  ASSERT_TRUE(EnsureHandle(root_ + "/a/b/file", HandleKind::kFile).ok());
  EXPECT_TRUE(StatFile(root_ + "/a/b/file")->is_regular);
  std::filesystem::create_directory_symlink(root_ + "/a", root_ + "/link");
  EXPECT_EQ(EnsureHandle(root_ + "/link/x", HandleKind::kDirectory).status().code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_FALSE(Exists(root_ + "/a/x"));
}

}  // namespace
}  // namespace ashlar::sys
