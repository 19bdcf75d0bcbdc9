// Snapshots, clones and restores on a real kernel.
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <thread>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "lib/base/log.h"
#include "lib/system/files.h"
#include "lib/system/immutable_file.h"
#include "node-agent/storage/pool_types.h"
#include "node-agent/testing/loop_lab.h"
#include "node-agent/volume/superblock.h"

namespace ashlar::node_agent {
namespace {

#define ASSERT_DONE(expression)                                          \
  do {                                                                   \
    const absl::Status& got_status = (expression);                       \
    ASSERT_TRUE(got_status.ok()) << #expression << " is " << got_status; \
  } while (false)

void WriteFile(const std::string& path, const std::string& content) {
  std::ofstream(path) << content << std::flush;
}
std::string Content(const std::string& path) { return sys::ReadFile(path).value_or("(none)"); }

class CopiesTest : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    ASHLAR_NEEDS_LOOP_LAB();
    SetLogLevel(LogLevel::kError);
    lab_ = std::make_unique<LoopLab>();
    pool_ = lab_->MakeFilesystem("xfs", int64_t{3} << 30);
    agent_ = StartAgent();
  }
  void TearDown() override { SetLogLevel(LogLevel::kInfo); }

  std::unique_ptr<AgentStack> StartAgent() {
    auto agent =
        std::make_unique<AgentStack>(lab_->Path("state"), std::vector{lab_->Path("kubelet")});
    EXPECT_EQ(agent->Start(), absl::OkStatus());
    const auto pool = agent->EnsureDirectoryPool(pool_);
    EXPECT_TRUE(pool.ok() && pool->ready);
    return agent;
  }
  std::string At(const std::string& id) const { return lab_->Path("kubelet/" + id); }
  absl::Status Make(VolumeManager& volumes, const std::string& id, const std::string& source = "",
                    int64_t size = 320 * kMiB) {
    return volumes.Ensure({}, {id, "p", size, VolumeMode::kFilesystem, GetParam(), source})
        .status();
  }
  absl::Status Stage(VolumeManager& volumes, const std::string& id) {
    return volumes.Stage({}, {id, At(id), VolumeMode::kFilesystem, GetParam(), {}});
  }
  absl::Status Make(const std::string& id, const std::string& source = "",
                    int64_t size = 320 * kMiB) {
    return Make(agent_->volumes, id, source, size);
  }
  absl::Status Stage(const std::string& id) { return Stage(agent_->volumes, id); }
  absl::Status Unstage(const std::string& id) { return agent_->volumes.Unstage({}, id, At(id)); }
  absl::Status Remove(const std::string& id, VolumeKind kind = VolumeKind::kVolume) {
    return agent_->volumes.Remove({}, id, kind);
  }
  void ExpectNothingLeft() {
    EXPECT_EQ(lab_->LoopsBelow(pool_), 0);
    EXPECT_EQ(lab_->MountsBelow(lab_->Path("kubelet")), 0);
    EXPECT_TRUE(std::filesystem::is_empty(pool_ + "/volumes"));
    EXPECT_TRUE(std::filesystem::is_empty(lab_->Path("state/journal/volumes")));
  }

  std::unique_ptr<LoopLab> lab_;
  std::string pool_;
  std::unique_ptr<AgentStack> agent_;
};

TEST_P(CopiesTest, ARestoreHasWhatTheVolumeHadAtTheSnapshotAndMayBeLarger) {
  ASSERT_DONE(Make("v"));
  ASSERT_DONE(Stage("v"));
  WriteFile(At("v") + "/file", "before");
  const auto taken = agent_->volumes.EnsureSnapshots({}, {{"s", "v"}});
  ASSERT_DONE(taken.status());
  EXPECT_EQ(taken->front().facts.kind, VolumeKind::kSnapshot);
  WriteFile(At("v") + "/file", "after");
  ASSERT_DONE(agent_->volumes.EnsureSnapshots({}, {{"s", "v"}}).status());  // may be repeated
  EXPECT_EQ(Stage("s").code(), absl::StatusCode::kFailedPrecondition);
  ASSERT_DONE(Make("r", "s", 480 * kMiB));
  ASSERT_DONE(Make("c", "v"));
  // All three mounted together: each has an identity of its own.
  for (const char* id : {"r", "c"}) {
    ASSERT_DONE(Stage(id));
    const auto image = absl::StrCat(pool_, "/volumes/", id, ".img");
    const auto state = ParseSuperblock(GetParam(), *sys::ReadHead(image, kSuperblockBytes));
    EXPECT_EQ(state->uuid, FilesystemUuid(id));
  }
  EXPECT_EQ(Content(At("r") + "/file"), "before");
  EXPECT_EQ(Content(At("c") + "/file"), "after");
  EXPECT_GT(sys::StatFilesystem(At("r"))->total_bytes, 360 * kMiB);
  EXPECT_LT(sys::StatFilesystem(At("c"))->total_bytes, 330 * kMiB);
  WriteFile(At("c") + "/file", "of the clone");
  // The source goes first, then the snapshot, and the copies still have everything.
  ASSERT_DONE(Unstage("v"));
  ASSERT_DONE(Remove("v"));
  ASSERT_DONE(Remove("s"));
  EXPECT_EQ(agent_->volumes.List().size(), 3u) << "what has the id is no volume";
  ASSERT_DONE(Remove("s", VolumeKind::kSnapshot));
  for (const char* id : {"r", "c"}) {
    ASSERT_DONE(Unstage(id));
    ASSERT_DONE(Stage(id));
  }
  EXPECT_EQ(Content(At("r") + "/file"), "before");
  EXPECT_EQ(Content(At("c") + "/file"), "of the clone");
  for (const char* id : {"r", "c"}) {
    ASSERT_DONE(Unstage(id));
    sys::PosixCommandRunner commands;
    const std::string image = absl::StrCat(pool_, "/volumes/", id, ".img");
    const bool ext4 = std::string(GetParam()) == "ext4";
    ASSERT_DONE(sys::RunChecked(commands, {},
                                ext4 ? std::vector<std::string>{"e2fsck", "-f", "-n", image}
                                     : std::vector<std::string>{"xfs_repair", "-n", image}));
    ASSERT_DONE(Remove(id));
  }
  ExpectNothingLeft();
}

TEST_P(CopiesTest, WhatDoesNotFitTheSourceIsRefusedAndLeavesNothing) {
  ASSERT_DONE(Make("v"));
  ASSERT_DONE(agent_->volumes.EnsureSnapshots({}, {{"s", "v"}}).status());
  const auto code = [&](const EnsureVolumeArgs& args) {
    return agent_->volumes.Ensure({}, args).status().code();
  };
  const VolumeMode files = VolumeMode::kFilesystem;
  const std::string other = std::string(GetParam()) == "ext4" ? "xfs" : "ext4";
  using absl::StatusCode;
  EXPECT_EQ(code({"c", "p", 310 * kMiB, files, GetParam(), "v"}), StatusCode::kInvalidArgument);
  EXPECT_EQ(code({"c", "p", 320 * kMiB, files, other, "v"}), StatusCode::kInvalidArgument);
  EXPECT_EQ(code({"c", "p", 320 * kMiB, VolumeMode::kBlock, "", "s"}),
            StatusCode::kInvalidArgument);
  EXPECT_EQ(code({"c", "p", 320 * kMiB, files, GetParam(), "absent"}), StatusCode::kNotFound);
  EXPECT_EQ(code({"c", "p", 320 * kMiB, files, GetParam(), "c"}), StatusCode::kInvalidArgument);
  EXPECT_EQ(code({"c", "p", 32000 * kMiB, files, GetParam(), "v"}), StatusCode::kResourceExhausted);
  EXPECT_EQ(code({"s", "p", 320 * kMiB, files, GetParam(), ""}), StatusCode::kAlreadyExists);
  const auto snapshot = [&](const std::vector<SnapshotArgs>& args) {
    return agent_->volumes.EnsureSnapshots({}, args).status().code();
  };
  EXPECT_EQ(snapshot({}), StatusCode::kInvalidArgument);
  EXPECT_EQ(snapshot({{"t", "absent"}}), StatusCode::kNotFound);
  EXPECT_EQ(snapshot({{"t", "s"}}), StatusCode::kInvalidArgument);
  EXPECT_EQ(snapshot({{"v", "s"}}), StatusCode::kAlreadyExists);
  EXPECT_EQ(snapshot({{"../t", "v"}}), StatusCode::kInvalidArgument);
  EXPECT_EQ(snapshot({{"t", "v"}, {"u", "v"}}), StatusCode::kInvalidArgument);
  EXPECT_EQ(snapshot({{"t", "v"}, {"u", "absent"}}), StatusCode::kNotFound);
  EXPECT_EQ(agent_->volumes.List().size(), 2u);
  ASSERT_DONE(Remove("v"));
  ASSERT_DONE(Remove("s", VolumeKind::kSnapshot));
  ExpectNothingLeft();
}

TEST_P(CopiesTest, ASnapshotIsSealedUntilItIsRemovedAlsoAfterACrashInBetween) {
  ASSERT_DONE(Make("v"));
  ASSERT_DONE(agent_->volumes.EnsureSnapshots({}, {{"s", "v"}}).status());
  const std::string image = pool_ + "/volumes/s.img";
  const auto sealed = [&] {
    return !sys::OpenFile(image, O_RDWR).ok() && unlink(image.c_str()) != 0 &&
           truncate(image.c_str(), 0) != 0;
  };
  EXPECT_TRUE(sealed());
  EXPECT_EQ(agent_->volumes.Resize({}, "s", 640 * kMiB).status().code(),
            absl::StatusCode::kFailedPrecondition);
  ASSERT_DONE(Make("r", "s"));
  // As a crash behind the rename, or in the middle of a removal, leaves it.
  ASSERT_DONE(sys::SetImmutable(image, false));
  agent_.reset();
  agent_ = StartAgent();
  EXPECT_TRUE(sealed());
  for (const char* id : {"v", "r"}) ASSERT_DONE(Remove(id));
  ASSERT_DONE(Remove("s", VolumeKind::kSnapshot));
  ExpectNothingLeft();
}

// A writer goes from volume to volume: what it has written to the second it has written to the
// first before.
TEST_P(CopiesTest, AGroupIsOfOneMoment) {
  for (const char* id : {"v1", "v2"}) {
    ASSERT_DONE(Make(id));
    ASSERT_DONE(Stage(id));
    WriteFile(At(id) + "/count", "0");
  }
  std::atomic<bool> stop = false;
  std::thread writer([&] {
    for (int i = 1; !stop; ++i)
      for (const char* id : {"v1", "v2"}) {
        // In place and at once on the medium.
        const std::string text = absl::StrCat(100000 + i);
        const sys::UniqueFd fd = *sys::OpenFile(At(id) + "/count", O_WRONLY | O_SYNC);
        (void)!pwrite(fd.get(), text.data(), text.size(), 0);
      }
  });
  for (const char* round : {"a", "b", "c"}) {
    usleep(50000);
    EXPECT_EQ(agent_->volumes
                  .EnsureSnapshots(
                      {}, {{absl::StrCat(round, "1"), "v1"}, {absl::StrCat(round, "2"), "v2"}})
                  .status(),
              absl::OkStatus());
  }
  stop = true;
  writer.join();
  for (const std::string round : {"a", "b", "c"}) {
    int counts[2] = {0, 0};
    for (int i = 0; i < 2; ++i) {
      const std::string snapshot = absl::StrCat(round, i + 1), id = "r" + snapshot;
      ASSERT_DONE(Make(id, snapshot));
      ASSERT_DONE(Stage(id));
      ASSERT_TRUE(absl::SimpleAtoi(Content(At(id) + "/count"), &counts[i]));
      ASSERT_DONE(Unstage(id));
      ASSERT_DONE(Remove(id));
      ASSERT_DONE(Remove(snapshot, VolumeKind::kSnapshot));
    }
    EXPECT_GE(counts[0], counts[1]) << round;
    EXPECT_LE(counts[0], counts[1] + 1) << round;
    EXPECT_GT(counts[0], 1);
  }
  for (const char* id : {"v1", "v2"}) {
    ASSERT_DONE(Unstage(id));
    ASSERT_DONE(Remove(id));
  }
  ExpectNothingLeft();
}

// The process that copies is killed before and after each of its steps; the next one finds the
// source usable, and repeating the calls ends well.
TEST_P(CopiesTest, WhereverTheProcessIsKilledTheSourceIsThawedAndACopyIsWholeOrNotThere) {
  ASSERT_DONE(Make("v"));
  ASSERT_DONE(Stage("v"));
  WriteFile(At("v") + "/file", "content");
  agent_.reset();
  const auto script = [&](VolumeManager& volumes) -> absl::Status {
    if (auto s = volumes.EnsureSnapshots({}, {{"s", "v"}}).status(); !s.ok()) return s;
    if (auto s = Make(volumes, "r", "s", 400 * kMiB); !s.ok()) return s;
    if (auto s = Stage(volumes, "r"); !s.ok()) return s;
    if (Content(At("r") + "/file") != "content") return absl::DataLossError("r");
    if (auto s = volumes.Unstage({}, "r", At("r")); !s.ok()) return s;
    if (auto s = volumes.Remove({}, "s", VolumeKind::kSnapshot); !s.ok()) return s;
    return volumes.Remove({}, "r");
  };
  int step = 0;
  for (bool killed = true; killed; ++step) {
    const pid_t child = fork();
    if (child == 0) {
      auto agent = StartAgent();
      int at = 0;
      agent->hook = [&](const char*) {
        if (at++ == step) kill(getpid(), SIGKILL);
      };
      _exit(script(agent->volumes).ok() ? 0 : 1);
    }
    int status = 0;
    waitpid(child, &status, 0);
    killed = WIFSIGNALED(status);
    SCOPED_TRACE(absl::StrCat("killed at step ", step));
    ASSERT_TRUE(killed || WEXITSTATUS(status) == 0);
    auto agent = StartAgent();
    // Hangs if it is still frozen; a second thaw of what is not frozen is refused by the kernel.
    WriteFile(At("v") + "/other", absl::StrCat(step));
    const auto images = sys::ListDirectory(pool_ + "/volumes");
    ASSERT_DONE(images.status());
    for (const std::string& name : *images)
      EXPECT_EQ(name.find("partial"), std::string::npos) << name;
    ASSERT_DONE(script(agent->volumes));
    EXPECT_EQ(lab_->LoopsBelow(pool_), 1);
    EXPECT_EQ(lab_->MountsBelow(lab_->Path("kubelet")), 1);
  }
  EXPECT_GT(step, 25) << "the script has fewer steps than it should";
  agent_ = StartAgent();
  ASSERT_DONE(Unstage("v"));
  ASSERT_DONE(Remove("v"));
  ExpectNothingLeft();
}

INSTANTIATE_TEST_SUITE_P(Formats, CopiesTest, testing::Values("ext4", "xfs"));

TEST(CopiesWithoutReflink, AreRefusedWithTheReason) {
  ASHLAR_NEEDS_LOOP_LAB();
  LoopLab lab;
  const std::string pool = lab.MakeFilesystem("ext4", 200 * kMiB);
  AgentStack agent(lab.Path("state"), {lab.Path("kubelet")});
  ASSERT_DONE(agent.Start());
  ASSERT_DONE(agent.EnsureDirectoryPool(pool).status());
  ASSERT_DONE(agent.volumes.Ensure({}, {"v", "p", kMiB, VolumeMode::kBlock, ""}).status());
  const absl::Status refused = agent.volumes.EnsureSnapshots({}, {{"s", "v"}}).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kUnimplemented);
  EXPECT_NE(refused.message().find("XFS with reflink=1"), std::string::npos) << refused;
  EXPECT_EQ(agent.volumes.List().size(), 1u);
  ASSERT_DONE(agent.volumes.Remove({}, "v"));
}

}  // namespace
}  // namespace ashlar::node_agent
