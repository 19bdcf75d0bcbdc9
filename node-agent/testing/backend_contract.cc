#include "node-agent/testing/backend_contract.h"

#include "lib/system/files.h"
#include "node-agent/volume/superblock.h"

namespace ashlar::node_agent {

using absl::StatusCode;

void BackendContract::SetUp() {
  backend_ = GetParam().make();
  ASSERT_NE(backend_, nullptr);
}

absl::StatusOr<StoredVolume> BackendContract::Create(const std::string& id, int64_t size_bytes,
                                                     const std::string& fs_type) {
  const VolumeMode mode = fs_type.empty() ? VolumeMode::kBlock : VolumeMode::kFilesystem;
  return backend_->Create({}, {id, "p", "uid-1", mode, fs_type}, size_bytes);
}

TEST_P(BackendContract, AVolumeIsFoundAsItWasMadeUntilItIsRemoved) {
  const auto made = Create("v", 20 * kMiB, "ext4");
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_EQ(made->size_bytes, 20 * kMiB);
  EXPECT_EQ(sys::StatFile(made->path)->size_bytes, 20 * kMiB);
  const auto found = backend_->Find("v");
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(found->facts, made->facts);
  EXPECT_EQ(found->path, made->path);
  ASSERT_EQ(backend_->List()->size(), 1u);
  EXPECT_EQ(backend_->List()->front().facts, made->facts);
  const auto state = ParseSuperblock("ext4", *sys::ReadHead(made->path, kSuperblockBytes));
  ASSERT_TRUE(state.ok()) << state.status();
  EXPECT_FALSE(state->needs_check);
  EXPECT_EQ(state->size_bytes, 20 * kMiB);
  EXPECT_TRUE(backend_->Remove({}, "v").ok());
  EXPECT_FALSE(sys::Exists(made->path));
  EXPECT_EQ(backend_->Find("v").status().code(), StatusCode::kNotFound);
  EXPECT_TRUE(backend_->List()->empty());
  EXPECT_TRUE(backend_->Remove({}, "v").ok()) << "absent is OK";
}

TEST_P(BackendContract, AVolumeThatExistsIsNotMadeAgain) {
  ASSERT_TRUE(Create("v", kMiB).ok());
  EXPECT_EQ(Create("v", 2 * kMiB).status().code(), StatusCode::kAlreadyExists);
  EXPECT_EQ(backend_->Find("v")->size_bytes, kMiB);
}

TEST_P(BackendContract, WhatIsAllocatableCanBeAllocatedAndNoMoreAndNothingIsLeftOfARefusal) {
  const int64_t all = backend_->Usage()->allocatable_bytes;
  ASSERT_EQ(Create("v", all + kMiB).status().code(), StatusCode::kResourceExhausted);
  EXPECT_TRUE(backend_->List()->empty());
  EXPECT_EQ(backend_->Usage()->allocatable_bytes, all);
  ASSERT_TRUE(Create("v", all).ok());
  EXPECT_EQ(backend_->Usage()->allocated_bytes, all);
  ASSERT_TRUE(backend_->Remove({}, "v").ok());
  EXPECT_EQ(backend_->Usage()->allocated_bytes, 0);
}

TEST_P(BackendContract, AVolumeGrowsAndNeverShrinks) {
  ASSERT_TRUE(Create("v", 10 * kMiB).ok());
  EXPECT_EQ(backend_->Grow({}, "v", 20 * kMiB)->size_bytes, 20 * kMiB);
  EXPECT_EQ(backend_->Grow({}, "v", 5 * kMiB)->size_bytes, 20 * kMiB);
  EXPECT_EQ(sys::StatFile(backend_->Find("v")->path)->size_bytes, 20 * kMiB);
  const int64_t left = backend_->Usage()->allocatable_bytes;
  EXPECT_EQ(backend_->Grow({}, "v", 21 * kMiB + left).status().code(),
            StatusCode::kResourceExhausted);
  EXPECT_EQ(backend_->Find("v")->size_bytes, 20 * kMiB);
  EXPECT_EQ(backend_->Grow({}, "absent", kMiB).status().code(), StatusCode::kNotFound);
  EXPECT_TRUE(backend_->Prepare({}, "v").ok());
  EXPECT_EQ(backend_->Prepare({}, "absent").status().code(), StatusCode::kNotFound);
}

}  // namespace ashlar::node_agent
