#include "lib/system/files.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

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
  ASSERT_EQ(ReplaceFileDurably(root_ + "/a", "one"), absl::OkStatus());
  ASSERT_EQ(ReplaceFileDurably(root_ + "/a", "two"), absl::OkStatus());
  EXPECT_EQ(*ReadFile(root_ + "/a"), "two");
  EXPECT_EQ(ListDirectory(root_)->size(), 1u);
}

TEST_F(Files, PageIsOverwrittenInPlaceAndKeepsWhatFollows) {
  ASSERT_EQ(WritePage(root_ + "/a", "a longer text"), absl::OkStatus());
  ASSERT_EQ(WritePage(root_ + "/a", "short"), absl::OkStatus());
  EXPECT_EQ(*ReadFile(root_ + "/a"), "short" + std::string(kPageBytes - 5, '\n'));
  ASSERT_EQ(ReplaceFileDurably(root_ + "/a", std::string(2 * kPageBytes, 'x')), absl::OkStatus());
  ASSERT_EQ(WritePage(root_ + "/a", ""), absl::OkStatus());
  EXPECT_EQ(ReadFile(root_ + "/a")->substr(kPageBytes - 1, 3), "\nxx");
  EXPECT_EQ(WritePage(root_ + "/a", std::string(kPageBytes + 1, 'x')).code(),
            absl::StatusCode::kOutOfRange);
}

TEST_F(Files, CopyTakesDataToItsPlaceAndLeavesHolesAlone) {
  const auto from = MakeMemoryFile("from", 1 << 20);
  ASSERT_TRUE(from.ok()) << from.status();
  ASSERT_EQ(pwrite(from->get(), "head", 4, 0), 4);
  ASSERT_EQ(pwrite(from->get(), "tail", 4, (1 << 20) - 4), 4);
  const auto to = OpenFile(root_ + "/to", O_RDWR | O_CREAT, 0600);
  ASSERT_EQ(Truncate(to->get(), 1 << 20, "to"), absl::OkStatus());
  ASSERT_EQ(pwrite(to->get(), "kept", 4, 500'000), 4);
  ASSERT_EQ(CopyData(from->get(), to->get(), "to"), absl::OkStatus());
  const std::string all = *ReadFile(root_ + "/to");
  EXPECT_EQ(all.substr(0, 4), "head");
  EXPECT_EQ(all.substr(500'000, 4), "kept");
  EXPECT_EQ(all.substr((1 << 20) - 4), "tail");
  EXPECT_EQ(*ReadHead(SharedPath(*from), 4), "head");
}

TEST_F(Files, LongFileIsRefusedAndHeadIsRead) {
  ASSERT_EQ(ReplaceFileDurably(root_ + "/a", "12345"), absl::OkStatus());
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
  ASSERT_EQ(Preallocate(fd->get(), 0, 1 << 20, "a"), absl::OkStatus());
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
