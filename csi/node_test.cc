#include "csi/node.h"

#include "csi/names.h"
#include "csi/testing/fake_agent.h"
#include "csi/volume_condition.h"
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

TEST_F(NodeTest, InfoHasTheLabelsThatTheNodeIsSaidToHave) {
  Node node(mount_, {.topology = {{"topology.kubernetes.io/zone", "a"}}, .mount_group = true});
  const auto info = node.GetInfo({}, {});
  ASSERT_TRUE(info.ok()) << info.status();
  EXPECT_EQ(info->accessible_topology().segments_size(), 2);
  EXPECT_EQ(info->accessible_topology().segments().at("topology.kubernetes.io/zone"), "a");
}

TEST_F(NodeTest, TheGroupIsLeftToTheKubeletUnlessAnnounced) {
  const auto announces = [](Node& node) {
    const auto answer = node.GetCapabilities({}, {});
    for (const auto& capability : answer->capabilities()) {
      if (capability.rpc().type() == csi::v1::NodeServiceCapability::RPC::VOLUME_MOUNT_GROUP) {
        return true;
      }
    }
    return false;
  };
  EXPECT_FALSE(announces(node_));
  Node node(mount_, {.mount_group = true});
  EXPECT_TRUE(announces(node));
}

// Each access mode, with and without the readonly of the publication, for mounts and block devices.
TEST_F(NodeTest, EveryAccessModeReachesTheAgentForWhatItIs) {
  struct Case {
    AccessMode::Mode mode;
    bool readonly;
    bool staged_read_only, published_read_only, single_writer;
  };
  const std::vector<Case> cases = {
      {AccessMode::SINGLE_NODE_WRITER, false, false, false, false},
      {AccessMode::SINGLE_NODE_WRITER, true, false, true, false},
      {AccessMode::SINGLE_NODE_SINGLE_WRITER, false, false, false, true},
      {AccessMode::SINGLE_NODE_SINGLE_WRITER, true, false, true, true},
      {AccessMode::SINGLE_NODE_MULTI_WRITER, false, false, false, false},
      {AccessMode::SINGLE_NODE_MULTI_WRITER, true, false, true, false},
      {AccessMode::SINGLE_NODE_READER_ONLY, false, true, true, false},
      {AccessMode::SINGLE_NODE_READER_ONLY, true, true, true, false},
  };
  for (const bool block : {false, true}) {
    for (const Case& c : cases) {
      SCOPED_TRACE(testing::Message() << AccessMode::Mode_Name(c.mode) << " block " << block
                                      << " readonly " << c.readonly);
      csi::v1::NodePublishVolumeRequest publish = Publish(c.mode);
      publish.set_readonly(c.readonly);
      if (block) publish.mutable_volume_capability()->mutable_block();
      csi::v1::NodeStageVolumeRequest stage;
      stage.set_volume_id("v1");
      stage.set_staging_target_path("/staging");
      *stage.mutable_volume_capability() = publish.volume_capability();
      ASSERT_TRUE(node_.StageVolume({}, stage).ok());
      ASSERT_TRUE(node_.PublishVolume({}, publish).ok());
      EXPECT_EQ(agent_.stage().mode() == agent::v1::VOLUME_MODE_BLOCK, block);
      EXPECT_EQ(agent_.stage().read_only(), c.staged_read_only);
      EXPECT_EQ(agent_.publish().read_only(), c.published_read_only);
      EXPECT_EQ(agent_.publish().single_writer(), c.single_writer);
    }
  }
  const int calls = agent_.calls();
  for (const auto mode : {AccessMode::MULTI_NODE_READER_ONLY, AccessMode::MULTI_NODE_SINGLE_WRITER,
                          AccessMode::MULTI_NODE_MULTI_WRITER, AccessMode::UNKNOWN}) {
    const absl::Status refused = node_.PublishVolume({}, Publish(mode)).status();
    EXPECT_EQ(refused.code(), StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(refused.message()), HasSubstr("a volume lies on one node"));
  }
  EXPECT_EQ(agent_.calls(), calls);
}

TEST_F(NodeTest, TheGroupOfAMountReachesTheAgent) {
  csi::v1::NodePublishVolumeRequest publish = Publish(AccessMode::SINGLE_NODE_WRITER);
  ASSERT_TRUE(node_.PublishVolume({}, publish).ok());
  EXPECT_FALSE(agent_.publish().has_mount_group());
  publish.mutable_volume_capability()->mutable_mount()->set_volume_mount_group("0");
  ASSERT_TRUE(node_.PublishVolume({}, publish).ok());
  EXPECT_TRUE(agent_.publish().has_mount_group()) << "root's group is one too";
  publish.mutable_volume_capability()->mutable_mount()->set_volume_mount_group("4000");
  ASSERT_TRUE(node_.PublishVolume({}, publish).ok());
  EXPECT_EQ(agent_.publish().mount_group(), 4000u);
}

TEST_F(NodeTest, AVolumeOfAPodsOwnIsAskedForWithItsPoolAndSize) {
  csi::v1::NodePublishVolumeRequest publish = Publish(AccessMode::SINGLE_NODE_WRITER);
  publish.clear_staging_target_path();
  auto& context = *publish.mutable_volume_context();
  context["csi.storage.k8s.io/ephemeral"] = "true";
  context["csi.storage.k8s.io/pod.name"] = "p";
  context["csi.storage.k8s.io/serviceAccount.name"] = "default";
  context["pool"] = "fast";
  context["size"] = "1.5Gi";
  publish.set_readonly(true);
  ASSERT_TRUE(node_.PublishVolume({}, publish).ok());
  EXPECT_EQ(agent_.publish().staging_path(), "");
  EXPECT_EQ(agent_.publish().inline_volume().pool(), "fast");
  EXPECT_EQ(agent_.publish().inline_volume().size_bytes(), int64_t{3} << 29);
  EXPECT_EQ(agent_.publish().inline_volume().fs_type(), "xfs");
  EXPECT_TRUE(agent_.publish().read_only());
  const int calls = agent_.calls();
  const auto refused = [&](const char* name, const char* value) {
    csi::v1::NodePublishVolumeRequest wrong = publish;
    if (value == nullptr)
      wrong.mutable_volume_context()->erase(name);
    else
      (*wrong.mutable_volume_context())[name] = value;
    const absl::Status status = node_.PublishVolume({}, wrong).status();
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument) << name;
    EXPECT_THAT(std::string(status.message()), HasSubstr(name));
  };
  refused("pool", nullptr);
  refused("pool", "");
  refused("pool", "Not a name");
  refused("size", nullptr);
  refused("size", "plenty");
  refused("size", "-1Gi");
  refused("size", "0");
  refused("colour", "blue");
  publish.mutable_volume_capability()->mutable_block();
  EXPECT_EQ(node_.PublishVolume({}, publish).status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(agent_.calls(), calls);
  context["csi.storage.k8s.io/ephemeral"] = "false";
  EXPECT_EQ(node_.PublishVolume({}, publish).status().code(), StatusCode::kFailedPrecondition);
}

TEST_F(NodeTest, TheAgentIsToldWhetherGpuDirectStorageIsWanted) {
  csi::v1::NodePublishVolumeRequest publish = Publish(AccessMode::SINGLE_NODE_WRITER);
  ASSERT_TRUE(node_.PublishVolume({}, publish).ok());
  EXPECT_EQ(agent_.publish().gpu_direct(), "");
  (*publish.mutable_volume_context())["gpuDirect"] = "Required";
  ASSERT_TRUE(node_.PublishVolume({}, publish).ok());
  EXPECT_EQ(agent_.publish().gpu_direct(), "Required");
}

TEST_F(NodeTest, APodsOwnVolumeIsAskedForNearItsGpus) {
  csi::v1::NodePublishVolumeRequest publish = Publish(AccessMode::SINGLE_NODE_WRITER);
  publish.clear_staging_target_path();
  auto& context = *publish.mutable_volume_context();
  context["csi.storage.k8s.io/ephemeral"] = "true";
  context["csi.storage.k8s.io/pod.name"] = "trainer";
  context["csi.storage.k8s.io/pod.namespace"] = "ml";
  context["csi.storage.k8s.io/pod.uid"] = "7a1f";
  context["pool"] = "fast";
  context["size"] = "1Gi";
  ASSERT_TRUE(node_.PublishVolume({}, publish).ok());
  EXPECT_FALSE(agent_.publish().inline_volume().has_near());
  context["near"] = "auto";
  ASSERT_TRUE(node_.PublishVolume({}, publish).ok());
  EXPECT_EQ(agent_.publish().inline_volume().near().pod_name(), "trainer");
  EXPECT_EQ(agent_.publish().inline_volume().near().pod_namespace(), "ml");
  EXPECT_EQ(agent_.publish().inline_volume().near().pod_uid(), "7a1f");
  EXPECT_EQ(agent_.publish().inline_volume().near().level(), "Switch");
  EXPECT_FALSE(agent_.publish().inline_volume().near().required());
  context["nearLevel"] = "NUMANode";
  context["nearEnforcement"] = "Required";
  ASSERT_TRUE(node_.PublishVolume({}, publish).ok());
  EXPECT_EQ(agent_.publish().inline_volume().near().level(), "NUMANode");
  EXPECT_TRUE(agent_.publish().inline_volume().near().required());
  context.erase("near");
  const absl::Status alone = node_.PublishVolume({}, publish).status();
  EXPECT_EQ(alone.code(), StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(alone.message()), HasSubstr("nearLevel"));
}

TEST_F(NodeTest, HealthIsWhatTheAgentSays) {
  csi::v1::NodeGetVolumeHealthRequest request;
  request.set_volume_id("v1");
  EXPECT_EQ(node_.GetVolumeHealth({}, request)->volume_health().health_statuses_size(), 0);
  request.set_volume_id("abnormal");
  const auto health = node_.GetVolumeHealth({}, request);
  ASSERT_EQ(health->volume_health().health_statuses_size(), 1);
  EXPECT_EQ(health->volume_health().health_statuses(0).message(), "as the test has it");
  const auto storage = node_.GetStorageHealth({}, {});
  ASSERT_EQ(storage->backend_health_size(), 1) << "of two pools one is ready";
  EXPECT_EQ(storage->backend_health(0).status(), csi::v1::STORAGE_UNREACHABLE);
  EXPECT_EQ(storage->backend_health(0).message(), "pool slow: its drive is gone");
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
  EXPECT_FALSE(GetVolumeCondition(*stats).abnormal);
  EXPECT_NE(GetVolumeCondition(*stats).message, "");
}

TEST_F(NodeTest, StatsTellWhatTheAgentFindsAbnormal) {
  csi::v1::NodeGetVolumeStatsRequest request;
  request.set_volume_id("v1");
  request.set_volume_path("/abnormal");
  const auto stats = node_.GetVolumeStats({}, request);
  ASSERT_TRUE(stats.ok()) << stats.status();
  EXPECT_TRUE(GetVolumeCondition(*stats).abnormal);
  EXPECT_EQ(GetVolumeCondition(*stats).message, "as the test has it");
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
