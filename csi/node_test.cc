#include "csi/node.h"

#include "csi/names.h"
#include "csi/testing/fake_agent.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/base/testing/temporary_directory.h"

namespace ashlar::csi_driver {
namespace {

using absl::StatusCode;
using testing::ElementsAre;
using testing::HasSubstr;
using AccessMode = csi::v1::VolumeCapability::AccessMode;

void SetMount(AccessMode::Mode mode, csi::v1::VolumeCapability* capability) {
  capability->mutable_mount()->set_fs_type("xfs");
  capability->mutable_mount()->add_mount_flags("noatime");
  capability->mutable_access_mode()->set_mode(mode);
}

class NodeTest : public testing::Test {
 protected:
  csi::v1::NodePublishVolumeRequest Publish(AccessMode::Mode mode) {
    csi::v1::NodePublishVolumeRequest request;
    request.set_volume_id("v1");
    request.set_staging_target_path("/staging");
    request.set_target_path("/target");
    SetMount(mode, request.mutable_volume_capability());
    return request;
  }

  RealClock clock_;
  TemporaryDirectory directory_;
  FakeAgent agent_{directory_.path() + "/agent.sock", clock_};
  AgentMount mount_{directory_.path() + "/agent.sock", clock_};
  Node node_{mount_};
};

TEST_F(NodeTest, StageCarriesWhatTheAgentNeeds) {
  csi::v1::NodeStageVolumeRequest request;
  request.set_volume_id("v1");
  request.set_staging_target_path("/staging");
  SetMount(AccessMode::SINGLE_NODE_WRITER, request.mutable_volume_capability());
  const auto response = node_.StageVolume({.request_id = "req-7"}, request);
  ASSERT_TRUE(response.ok()) << response.status();
  EXPECT_EQ(agent_.stage().volume_id(), "v1");
  EXPECT_EQ(agent_.stage().staging_path(), "/staging");
  EXPECT_EQ(agent_.stage().mode(), agent::v1::VOLUME_MODE_FILESYSTEM);
  EXPECT_EQ(agent_.stage().fs_type(), "xfs");
  EXPECT_THAT(agent_.stage().mount_flags(), ElementsAre("noatime"));
  EXPECT_EQ(agent_.request_id(), "req-7");
}

TEST_F(NodeTest, PublishSaysReadOnlyAndSingleWriter) {
  ASSERT_TRUE(node_.PublishVolume({}, Publish(AccessMode::SINGLE_NODE_SINGLE_WRITER)).ok());
  EXPECT_TRUE(agent_.publish().single_writer());
  EXPECT_FALSE(agent_.publish().read_only());
  ASSERT_TRUE(node_.PublishVolume({}, Publish(AccessMode::SINGLE_NODE_MULTI_WRITER)).ok());
  EXPECT_FALSE(agent_.publish().single_writer());
  ASSERT_TRUE(node_.PublishVolume({}, Publish(AccessMode::SINGLE_NODE_READER_ONLY)).ok());
  EXPECT_TRUE(agent_.publish().read_only());
  csi::v1::NodePublishVolumeRequest block = Publish(AccessMode::SINGLE_NODE_WRITER);
  block.mutable_volume_capability()->mutable_block();
  block.set_readonly(true);
  ASSERT_TRUE(node_.PublishVolume({}, block).ok());
  EXPECT_EQ(agent_.publish().mode(), agent::v1::VOLUME_MODE_BLOCK);
  EXPECT_TRUE(agent_.publish().read_only());
}

TEST_F(NodeTest, IncompleteRequestsDoNotReachTheAgent) {
  csi::v1::NodePublishVolumeRequest request = Publish(AccessMode::SINGLE_NODE_WRITER);
  request.clear_staging_target_path();
  EXPECT_EQ(node_.PublishVolume({}, request).status().code(), StatusCode::kFailedPrecondition);
  request = Publish(AccessMode::SINGLE_NODE_WRITER);
  request.clear_volume_capability();
  EXPECT_EQ(node_.PublishVolume({}, request).status().code(), StatusCode::kInvalidArgument);
  request = Publish(AccessMode::MULTI_NODE_MULTI_WRITER);
  EXPECT_EQ(node_.PublishVolume({}, request).status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(node_.StageVolume({}, {}).status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(node_.UnstageVolume({}, {}).status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(node_.UnpublishVolume({}, {}).status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(node_.GetVolumeStats({}, {}).status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(node_.ExpandVolume({}, {}).status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(agent_.calls(), 0);
}

TEST_F(NodeTest, NoVolumeIsAtAPathThatCannotBeOne) {
  csi::v1::NodeGetVolumeStatsRequest stats;
  stats.set_volume_id("v1");
  stats.set_volume_path("some/path");
  EXPECT_EQ(node_.GetVolumeStats({}, stats).status().code(), StatusCode::kNotFound);
  csi::v1::NodeExpandVolumeRequest expand;
  expand.set_volume_id("v1");
  expand.set_volume_path("some/path");
  EXPECT_EQ(node_.ExpandVolume({}, expand).status().code(), StatusCode::kNotFound);
}

TEST_F(NodeTest, InfoHasTheTopologyOfTheNode) {
  const auto info = node_.GetInfo({}, {});
  ASSERT_TRUE(info.ok()) << info.status();
  EXPECT_EQ(info->node_id(), "n1");
  EXPECT_EQ(info->max_volumes_per_node(), 100);
  EXPECT_EQ(info->accessible_topology().segments().at(kTopologyKey), "n1");
}

TEST_F(NodeTest, StatsOfAFilesystemCountBytesAndInodes) {
  csi::v1::NodeGetVolumeStatsRequest request;
  request.set_volume_id("v1");
  request.set_volume_path("/target");
  const auto stats = node_.GetVolumeStats({}, request);
  ASSERT_TRUE(stats.ok()) << stats.status();
  ASSERT_EQ(stats->usage_size(), 2);
  EXPECT_EQ(stats->usage(0).unit(), csi::v1::VolumeUsage::BYTES);
  EXPECT_EQ(stats->usage(0).total(), 1000);
  EXPECT_EQ(stats->usage(1).unit(), csi::v1::VolumeUsage::INODES);
  EXPECT_FALSE(stats->volume_condition().abnormal());
  EXPECT_NE(stats->volume_condition().message(), "");
}

TEST_F(NodeTest, StatsTellWhatTheAgentFindsAbnormal) {
  csi::v1::NodeGetVolumeStatsRequest request;
  request.set_volume_id("v1");
  request.set_volume_path("/abnormal");
  const auto stats = node_.GetVolumeStats({}, request);
  ASSERT_TRUE(stats.ok()) << stats.status();
  EXPECT_TRUE(stats->volume_condition().abnormal());
  EXPECT_EQ(stats->volume_condition().message(), "as the test has it");
}

TEST_F(NodeTest, ExpandSaysTheSizeAndAnswersTheAgents) {
  csi::v1::NodeExpandVolumeRequest request;
  request.set_volume_id("v1");
  request.set_volume_path("/target");
  request.mutable_capacity_range()->set_required_bytes(5 << 20);
  const auto expanded = node_.ExpandVolume({}, request);
  ASSERT_TRUE(expanded.ok()) << expanded.status();
  EXPECT_EQ(expanded->capacity_bytes(), 5 << 20);
}

TEST_F(NodeTest, TheAgentsRefusalIsCarriedToTheCaller) {
  agent_.SetAnswer(absl::FailedPreconditionError("v1 is published at /elsewhere"));
  const absl::Status status =
      node_.PublishVolume({}, Publish(AccessMode::SINGLE_NODE_SINGLE_WRITER)).status();
  EXPECT_EQ(status, absl::FailedPreconditionError("v1 is published at /elsewhere"));
}

TEST_F(NodeTest, AnAgentThatIsAwayIsNamed) {
  AgentMount away(directory_.path() + "/nobody.sock", clock_);
  const absl::Status status = away.GetNode({}).status();
  EXPECT_EQ(status.code(), StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()), HasSubstr("/nobody.sock does not answer"));
}

TEST_F(NodeTest, AnAgentThatRestartsIsWaitedFor) {
  ASSERT_TRUE(node_.PublishVolume({}, Publish(AccessMode::SINGLE_NODE_WRITER)).ok());
  agent_.Stop();
  std::jthread caller([&] {
    const auto answer = node_.PublishVolume({.deadline = clock_.Now() + absl::Seconds(30)},
                                            Publish(AccessMode::SINGLE_NODE_WRITER));
    EXPECT_TRUE(answer.ok()) << answer.status();
  });
  agent_.Start();
}

}  // namespace
}  // namespace ashlar::csi_driver
