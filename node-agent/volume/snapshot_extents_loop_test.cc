// What SnapshotExtents tells of snapshots on a real XFS, compared with their bytes.
#include "node-agent/volume/snapshot_extents.h"

#include <fcntl.h>
#include <unistd.h>

#include <fstream>
#include <random>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/base/log.h"
#include "node-agent/testing/loop_lab.h"

namespace ashlar::node_agent {
namespace {

constexpr int64_t kBlock = 4096;

class SnapshotExtentsTest : public testing::Test {
 protected:
  void SetUp() override {
    ASHLAR_NEEDS_LOOP_LAB();
    SetLogLevel(LogLevel::kError);
    lab_ = std::make_unique<LoopLab>();
    pool_ = lab_->MakeFilesystem("xfs", int64_t{2} << 30);
    agent_ = std::make_unique<AgentStack>(lab_->Path("state"), std::vector{lab_->Path("kubelet")});
    ASSERT_EQ(agent_->Start(), absl::OkStatus());
    const auto pool = agent_->EnsureDirectoryPool(pool_);
    ASSERT_TRUE(pool.ok() && pool->ready);
    Make("v");
  }
  void TearDown() override { SetLogLevel(LogLevel::kInfo); }

  void Make(const std::string& id) {
    ASSERT_TRUE(agent_->volumes.Ensure({}, {id, "p", 32 * kMiB, VolumeMode::kBlock, "", ""}).ok());
  }
  void Take(const std::string& id, const std::string& volume = "v") {
    const auto taken = agent_->volumes.EnsureSnapshots({}, {{id, volume}});
    ASSERT_TRUE(taken.ok()) << taken.status();
  }
  std::string Image(const std::string& id) const {
    return absl::StrCat(pool_, "/volumes/", id, ".img");
  }
  void Write(int64_t block, int64_t blocks = 1) {
    std::string bytes(blocks * kBlock, '\0');
    for (size_t i = 0; i < bytes.size(); i += 16) bytes[i] = static_cast<char>(1 + random_() % 255);
    const sys::UniqueFd fd(open(Image("v").c_str(), O_WRONLY));
    ASSERT_EQ(pwrite(fd.get(), bytes.data(), bytes.size(), block * kBlock),
              static_cast<ssize_t>(bytes.size()));
  }
  void Punch(int64_t block, int64_t blocks) {
    const sys::UniqueFd fd(open(Image("v").c_str(), O_WRONLY));
    ASSERT_EQ(fallocate(fd.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, block * kBlock,
                        blocks * kBlock),
              0);
  }
  std::string Bytes(const std::string& id) const {
    std::string bytes(sys::StatFile(Image(id))->size_bytes, '\0');
    std::ifstream(Image(id), std::ios::binary)
        .read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    return bytes;
  }
  std::vector<ByteRange> List(const std::string& id, const std::string& base = "",
                              int64_t offset = 0) {
    auto extents = agent_->volumes.OpenExtents({}, id, base, offset);
    EXPECT_TRUE(extents.ok()) << extents.status();
    std::vector<ByteRange> all;
    parts_ = 0;
    while (extents.ok() && !extents->AtEnd()) {
      const auto next = extents->Next();
      EXPECT_TRUE(next.ok()) << next.status();
      if (!next.ok()) break;
      AppendRanges(all, *next);
      ++parts_;
    }
    return all;
  }
  // Each block that differs is listed, and no other: here every write changes its block.
  void ExpectExact(const std::string& id, const std::string& base) {
    const std::string is = Bytes(id);
    std::string was = base.empty() ? "" : Bytes(base);
    was.resize(is.size(), '\0');
    std::vector<bool> listed(is.size() / kBlock);
    for (const ByteRange& range : List(id, base)) {
      ASSERT_EQ(range.offset % kBlock, 0);
      ASSERT_EQ(range.bytes % kBlock, 0);
      ASSERT_LE(range.end(), static_cast<int64_t>(is.size()));
      for (int64_t at = range.offset; at < range.end(); at += kBlock) listed[at / kBlock] = true;
    }
    for (size_t i = 0; i < listed.size(); ++i)
      ASSERT_EQ(listed[i], is.compare(i * kBlock, kBlock, was, i * kBlock, kBlock) != 0)
          << id << " against " << base << ", block " << i;
  }

  std::mt19937 random_{7};
  int parts_ = 0;
  std::unique_ptr<LoopLab> lab_;
  std::string pool_;
  std::unique_ptr<AgentStack> agent_;
};

TEST_F(SnapshotExtentsTest, ListsTheBlocksThatDifferAndNoOthers) {
  Take("s0");
  EXPECT_TRUE(List("s0").empty()) << "nothing was written";
  Write(0, 300);
  Write(5000, 20);
  Take("s1");
  for (int64_t block = 1000; block < 7000; block += 2) Write(block);  // in thousands of pieces
  Take("s2");
  Write(10, 3);
  Punch(100, 50);
  Write(120);
  Take("s3");
  ASSERT_TRUE(agent_->volumes.Resize({}, "v", 48 * kMiB).ok());
  Write(10000, 10);
  Take("s4");
  Take("s5");
  for (const auto& [target, base] : std::vector<std::pair<std::string, std::string>>{{"s1", ""},
                                                                                     {"s3", ""},
                                                                                     {"s1", "s0"},
                                                                                     {"s2", "s1"},
                                                                                     {"s3", "s2"},
                                                                                     {"s4", "s3"},
                                                                                     {"s5", "s4"},
                                                                                     {"s5", "s1"},
                                                                                     {"s2", "s4"}})
    ExpectExact(target, base);
  EXPECT_GT((List("s2"), parts_), 2) << "of more extents than are read at once";
  EXPECT_TRUE(List("s5", "s4").empty());
  // From the middle of a range on, and from the end.
  EXPECT_EQ(List("s1", "s0", 100 * kBlock).front(), (ByteRange{100 * kBlock, 200 * kBlock}));
  EXPECT_TRUE(List("s5", "s0", 48 * kMiB).empty());
  // The volume goes, is rewritten, or becomes another one: the snapshots stay as they are.
  for (int64_t block = 0; block < 8000; block += 100) Write(block, 50);
  ExpectExact("s3", "s1");
  ASSERT_TRUE(agent_->volumes.Remove({}, "v").ok());
  ExpectExact("s3", "s1");
}

TEST_F(SnapshotExtentsTest, RefusesWhatIsNoPairOfSnapshotsOfOneVolume) {
  Take("s");
  Make("w");
  Take("of-w", "w");
  const auto code = [&](const std::string& id, const std::string& base, int64_t offset = 0) {
    return agent_->volumes.OpenExtents({}, id, base, offset).status().code();
  };
  EXPECT_EQ(code("none", ""), absl::StatusCode::kNotFound);
  EXPECT_EQ(code("v", ""), absl::StatusCode::kNotFound) << "a volume, which may change";
  EXPECT_EQ(code("s", "none"), absl::StatusCode::kNotFound);
  EXPECT_EQ(code("s", "of-w"), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code("", ""), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code("s", "", -1), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(code("s", "", 32 * kMiB + 1), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(code("s", "", 32 * kMiB), absl::StatusCode::kOk);
}

TEST_F(SnapshotExtentsTest, TellsNothingOfASnapshotThatWasRemovedMeanwhile) {
  Write(0, 100);
  Take("s0");
  Write(50, 100);
  Take("s1");
  for (const char* gone : {"s0", "s1"}) {
    auto extents = agent_->volumes.OpenExtents({}, "s1", "s0", 0);
    ASSERT_TRUE(extents.ok()) << extents.status();
    ASSERT_TRUE(agent_->volumes.Remove({}, gone, VolumeKind::kSnapshot).ok());
    EXPECT_EQ(extents->Next().status().code(), absl::StatusCode::kNotFound) << gone;
    if (std::string(gone) == "s0") Take("s0");
  }
}

}  // namespace
}  // namespace ashlar::node_agent
