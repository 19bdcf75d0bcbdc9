#include "node-agent/volume/filesystem_check.h"

#include "absl/strings/str_join.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace ashlar::node_agent {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

// Tools that end as the test says.
class ScriptedTools final : public sys::CommandRunner {
 public:
  absl::StatusOr<sys::CommandResult> Run(const CallContext&,
                                         const std::vector<std::string>& argv) override {
    runs.push_back(absl::StrJoin(argv, " "));
    return result;
  }
  absl::StatusOr<sys::CommandResult> result;
  std::vector<std::string> runs;
};

class FilesystemCheckTest : public testing::Test {
 protected:
  absl::StatusOr<std::string> Ext4(int exit_code, const std::string& out, bool force = false) {
    tools_.result = sys::CommandResult{exit_code, out, ""};
    return check_.CorrectExt4({}, force);
  }
  absl::Status Xfs(const absl::Status& mounted, int exit_code, const std::string& out) {
    tools_.result = sys::CommandResult{exit_code, out, "No modify flag set"};
    return check_.ExplainXfs({}, mounted);
  }
  ScriptedTools tools_;
  FilesystemCheck check_{tools_, "/pool/v.img", "/dev/loop7"};
};

TEST_F(FilesystemCheckTest, ACleanFilesystemHasNothingToTell) {
  EXPECT_EQ(Ext4(0, "v: clean, 11/5120 files").value(), "");
  EXPECT_EQ(Ext4(0, "v: 11/5120 files", true).value(), "");
  EXPECT_THAT(tools_.runs, ElementsAre("e2fsck -p /dev/loop7", "e2fsck -f -p /dev/loop7"));
}

TEST_F(FilesystemCheckTest, WhatWasCorrectedIsToldInTheWordsOfTheTool) {
  for (const int code : {1, 2, 3})
    EXPECT_THAT(
        Ext4(code, "v: Inode 12 ref count is 2, should be 1. FIXED.\nv: 12 files\n").value(),
        HasSubstr("Inode 12 ref count is 2, should be 1. FIXED.; v: 12 files"));
}

TEST_F(FilesystemCheckTest, WhatIsLeftIsRefusedWithWordsAndAdvice) {
  for (const int code : {4, 5, 7}) {
    const absl::Status status =
        Ext4(code, "v: UNEXPECTED INCONSISTENCY; RUN fsck MANUALLY.").status();
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << code;
    const std::string text(status.message());
    EXPECT_THAT(text, HasSubstr("RUN fsck MANUALLY"));
    EXPECT_THAT(text, HasSubstr("copy /pool/v.img"));
    EXPECT_THAT(text, HasSubstr("e2fsck -f /pool/v.img"));
  }
}

TEST_F(FilesystemCheckTest, AToolThatCouldNotRunSaysNothingOfTheFilesystem) {
  for (const int code : {8, 16, 32, 128, 12})
    EXPECT_EQ(Ext4(code, "e2fsck: No such device").status().code(), absl::StatusCode::kInternal);
  tools_.result = absl::NotFoundError("e2fsck");
  EXPECT_TRUE(absl::IsNotFound(check_.CorrectExt4({}, false).status()));
}

TEST_F(FilesystemCheckTest, WordsAreCutToTheLast) {
  const std::string text(Ext4(4, std::string(5000, 'x') + " the end").status().message());
  EXPECT_LT(text.size(), 1200u);
  EXPECT_THAT(text, HasSubstr("x the end"));
}

TEST_F(FilesystemCheckTest, ADamagedXfsIsRefusedWithWordsAndAdvice) {
  const absl::Status status =
      Xfs(absl::InternalError("mount: Structure needs cleaning"), 1, "bad magic in agf 0\n");
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  const std::string text(status.message());
  EXPECT_THAT(text, HasSubstr("Structure needs cleaning"));
  EXPECT_THAT(text, HasSubstr("bad magic in agf 0"));
  EXPECT_THAT(text, HasSubstr("xfs_repair /pool/v.img"));
  EXPECT_THAT(text, Not(HasSubstr("-L")));
  EXPECT_THAT(tools_.runs, ElementsAre("xfs_repair -n /dev/loop7"));
}

TEST_F(FilesystemCheckTest, AnXfsWhoseLogHoldsChangesIsNotJudgedByTheRest) {
  const absl::Status status =
      Xfs(absl::InternalError("mount: Structure needs cleaning"), 1,
          "ALERT: The filesystem has valuable metadata changes in a log which is being\nagi bad\n");
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(status.message()), HasSubstr("log of the XFS filesystem cannot be"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("only if it refuses, xfs_repair -L"));
  EXPECT_THAT(std::string(status.message()), Not(HasSubstr("agi bad")));
}

TEST_F(FilesystemCheckTest, AMountThatFailedForAnotherReasonStaysWhatItIs) {
  const absl::Status busy = absl::FailedPreconditionError("in use");
  EXPECT_EQ(Xfs(busy, 1, "bad"), busy);
  EXPECT_THAT(tools_.runs, IsEmpty());
  const absl::Status option = absl::InternalError("mount: Invalid argument");
  EXPECT_EQ(Xfs(option, 0, ""), option) << "the filesystem is sound";
}

}  // namespace
}  // namespace ashlar::node_agent
