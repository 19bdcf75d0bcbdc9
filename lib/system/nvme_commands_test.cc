#include "lib/system/nvme_commands.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace ashlar::sys {
namespace {

using absl::StatusCode;
using testing::HasSubstr;

// Answers every command alike, and keeps the last one.
class OneAnswer final : public NvmeCommands {
 public:
  absl::StatusOr<NvmeCompletion> Submit(const std::string& controller,
                                        const NvmeCommand& command) override {
    if (controller != "/dev/nvme0") return absl::NotFoundError("open " + controller);
    last = command;
    return answer;
  }
  absl::Status Rescan(const std::string&) override { return absl::OkStatus(); }

  NvmeCompletion answer;
  NvmeCommand last;
};

class NvmeCommandsTest : public testing::Test {
 protected:
  OneAnswer commands_;
  const std::string controller_ = "/dev/nvme0";
};

TEST_F(NvmeCommandsTest, EachIsSentAsTheSpecificationHasIt) {
  commands_.answer.result = 9;
  EXPECT_EQ(CreateNvmeNamespace(commands_, controller_, {8192, 1, true})->nsid, 9u);
  EXPECT_EQ(commands_.last.opcode, 0x0d);
  EXPECT_EQ(commands_.last.cdw10, 0u);
  EXPECT_EQ(commands_.last.data, MakeNvmeNewNamespace({8192, 1, true}));
  ASSERT_EQ(DeleteNvmeNamespace(commands_, controller_, 9), absl::OkStatus());
  EXPECT_EQ(commands_.last.opcode, 0x0d);
  EXPECT_EQ(commands_.last.cdw10, 1u);
  EXPECT_EQ(commands_.last.nsid, 9u);
  ASSERT_EQ(AttachNvmeNamespace(commands_, controller_, 9, {0, 65}), absl::OkStatus());
  EXPECT_EQ(commands_.last.opcode, 0x15);
  EXPECT_EQ(commands_.last.cdw10, 0u);
  EXPECT_EQ(commands_.last.data, MakeNvmeControllerList({0, 65}));
  ASSERT_EQ(DetachNvmeNamespace(commands_, controller_, 9, {65}), absl::OkStatus());
  EXPECT_EQ(commands_.last.cdw10, 1u);
  ASSERT_EQ(CryptoEraseNvmeNamespace(commands_, controller_, 9, 0x13), absl::OkStatus());
  EXPECT_EQ(commands_.last.opcode, 0x80);
  EXPECT_EQ(commands_.last.nsid, 9u);
  EXPECT_EQ(commands_.last.cdw10, 0x1000u | 2u << 9 | 3u);
  ASSERT_TRUE(IdentifyNvme(commands_, controller_, kNvmeIdentifyAllocatedNamespace, 9).ok());
  EXPECT_EQ(commands_.last.opcode, 0x06);
  EXPECT_EQ(commands_.last.cdw10, 0x11u);
  EXPECT_EQ(commands_.last.data.size(), kNvmeIdentifyBytes);
}

TEST_F(NvmeCommandsTest, NoCommandIsForEveryNamespace) {
  for (const uint32_t nsid : {uint32_t{0}, kNvmeEveryNamespace})
    EXPECT_EQ(CryptoEraseNvmeNamespace(commands_, controller_, nsid, 0).code(),
              StatusCode::kInvalidArgument);
  EXPECT_EQ(DeleteNvmeNamespace(commands_, controller_, kNvmeEveryNamespace).code(),
            StatusCode::kInvalidArgument);
  EXPECT_EQ(commands_.last.opcode, 0) << "nothing was sent";
}

TEST_F(NvmeCommandsTest, ARefusalIsNamed) {
  commands_.answer.status = 0x4115;
  EXPECT_EQ(CreateNvmeNamespace(commands_, controller_, {1, 0, false})->status, 0x4115);
  const absl::Status refused = DeleteNvmeNamespace(commands_, controller_, 9);
  EXPECT_EQ(refused.code(), StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(refused.message()),
              HasSubstr("/dev/nvme0 refuses to delete namespace 9: Namespace Insufficient Capacity "
                        "(status 0x4115)"));
  EXPECT_EQ(CreateNvmeNamespace(commands_, "/dev/nvme1", {1, 0, false}).status().code(),
            StatusCode::kNotFound);
}

TEST_F(NvmeCommandsTest, AttachingAndDetachingCanBeRepeated) {
  commands_.answer.status = 0x4118;
  EXPECT_EQ(AttachNvmeNamespace(commands_, controller_, 9, {0}), absl::OkStatus());
  EXPECT_FALSE(DetachNvmeNamespace(commands_, controller_, 9, {0}).ok());
  commands_.answer.status = 0x411a;
  EXPECT_EQ(DetachNvmeNamespace(commands_, controller_, 9, {0}), absl::OkStatus());
  EXPECT_FALSE(AttachNvmeNamespace(commands_, controller_, 9, {0}).ok());
}

TEST(NvmeStatus, IsNamedByTypeAndCodeWhateverElseItSays) {
  EXPECT_EQ(NvmeStatusName(0x4001), "Invalid Command Opcode");
  EXPECT_EQ(NvmeStatusName(0x0001), "Invalid Command Opcode");
  EXPECT_EQ(NvmeStatusName(0x6116), "Namespace Identifier Unavailable");
  EXPECT_EQ(NvmeStatusName(0x0016), "unknown") << "another type";
  EXPECT_EQ(DescribeNvmeStatus(0x07ff), "unknown (status 0x07ff)");
  EXPECT_EQ(NvmeStatusError(0x400b, "x").code(), StatusCode::kNotFound);
  EXPECT_EQ(NvmeStatusError(0x4001, "x").code(), StatusCode::kUnimplemented);
}

}  // namespace
}  // namespace ashlar::sys
