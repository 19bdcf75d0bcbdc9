#include "controller/agents/testing/agent_client_contract.h"

#include <thread>

namespace ashlar::controller {

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(AgentClientContract);

namespace {
constexpr int64_t kMi = int64_t{1} << 20;
}  // namespace

void AgentClientContract::SetUp() {
  agent_ = GetParam()();
  if (agent_ == nullptr) GTEST_SKIP() << "this machine cannot run the agent";
  context_.deadline = absl::Now() + absl::Seconds(60);
}

void AgentClientContract::MakePool() {
  auto pool = agent_->client().EnsurePool(context_, agent_->PoolRequest("fast"));
  ASSERT_TRUE(pool.ok()) << pool.status();
  ASSERT_TRUE(pool->ready()) << pool->reason() << ": " << pool->message();
}

agent::v1::EnsureVolumeRequest AgentClientContract::VolumeRequest(const std::string& id,
                                                                  int64_t bytes) const {
  agent::v1::EnsureVolumeRequest request;
  request.set_volume_id(id);
  request.set_pool("fast");
  request.set_size_bytes(bytes);
  request.set_mode(agent::v1::VOLUME_MODE_BLOCK);
  return request;
}

agent::v1::Inventory AgentClientContract::AwaitInventory(
    const std::function<bool(const agent::v1::Inventory&)>& wanted) {
  agent::v1::Inventory found;
  const absl::Status status = agent_->client().WatchInventory(context_, absl::Seconds(1),
                                                              [&](agent::v1::Inventory inventory) {
                                                                if (!wanted(inventory))
                                                                  return absl::OkStatus();
                                                                found = std::move(inventory);
                                                                return absl::AbortedError("found");
                                                              });
  EXPECT_EQ(status, absl::AbortedError("found"));
  return found;
}

TEST_P(AgentClientContract, TheStreamBeginsWithTheWholeInventory) {
  MakePool();
  const agent::v1::Inventory inventory = AwaitInventory([](const auto&) { return true; });
  EXPECT_EQ(inventory.node(), "node-1");
  EXPECT_FALSE(inventory.boot_id().empty());
  ASSERT_EQ(inventory.pools_size(), 1);
  EXPECT_EQ(inventory.pools(0).name(), "fast");
  EXPECT_TRUE(inventory.pools(0).ready());
}

TEST_P(AgentClientContract, TheStreamTellsOfAVolumeThatCame) {
  MakePool();
  std::jthread carve([&] {
    EXPECT_TRUE(agent_->client().EnsureVolume(context_, VolumeRequest("v1", 8 * kMi)).ok());
  });
  const agent::v1::Inventory inventory =
      AwaitInventory([](const agent::v1::Inventory& i) { return i.volumes_size() == 1; });
  EXPECT_EQ(inventory.volumes(0).volume_id(), "v1");
  EXPECT_EQ(inventory.volumes(0).size_bytes(), 8 * kMi);
}

TEST_P(AgentClientContract, TheStreamEndsWhenItIsCalledOff) {
  std::stop_source stop;
  CallContext context = context_;
  context.stop = stop.get_token();
  const absl::Status status =
      agent_->client().WatchInventory(context, absl::Seconds(1), [&](const agent::v1::Inventory&) {
        stop.request_stop();
        return absl::OkStatus();
      });
  EXPECT_EQ(status.code(), absl::StatusCode::kCancelled) << status;
}

TEST_P(AgentClientContract, EnsuringAPoolAgainChangesNothing) {
  MakePool();
  MakePool();
}

TEST_P(AgentClientContract, AnotherPoolOfTheSameNameIsRefused) {
  MakePool();
  agent::v1::EnsurePoolRequest other = agent_->PoolRequest("fast");
  other.set_uid("another-uid");
  auto pool = agent_->client().EnsurePool(context_, other);
  // Refused by the call, or the pool says that it is not ready.
  EXPECT_TRUE(!pool.ok() || !pool->ready());
}

TEST_P(AgentClientContract, AVolumeIsRoundedUpAndCarvedOnce) {
  MakePool();
  auto first = agent_->client().EnsureVolume(context_, VolumeRequest("v1", 8 * kMi - 1));
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_EQ(first->size_bytes(), 8 * kMi);
  EXPECT_TRUE(first->healthy());
  auto second = agent_->client().EnsureVolume(context_, VolumeRequest("v1", 8 * kMi - 1));
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_EQ(second->device_path(), first->device_path());
}

TEST_P(AgentClientContract, AVolumeOfOtherFactsIsRefused) {
  MakePool();
  ASSERT_TRUE(agent_->client().EnsureVolume(context_, VolumeRequest("v1", 8 * kMi)).ok());
  auto other = agent_->client().EnsureVolume(context_, VolumeRequest("v1", 16 * kMi));
  EXPECT_EQ(other.status().code(), absl::StatusCode::kAlreadyExists) << other.status();
}

TEST_P(AgentClientContract, ImpossibleVolumesAreInvalid) {
  MakePool();
  EXPECT_EQ(agent_->client().EnsureVolume(context_, VolumeRequest("", kMi)).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(agent_->client().EnsureVolume(context_, VolumeRequest("v1", 0)).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST_P(AgentClientContract, AVolumeThatDoesNotFitIsRefused) {
  MakePool();
  auto volume = agent_->client().EnsureVolume(context_, VolumeRequest("v1", int64_t{1} << 60));
  EXPECT_EQ(volume.status().code(), absl::StatusCode::kResourceExhausted) << volume.status();
}

TEST_P(AgentClientContract, ADriveIsRefusedWherePoolsLieOnNone) {
  MakePool();
  agent::v1::EnsureVolumeRequest request = VolumeRequest("v1", 8 * kMi);
  request.set_drive("S1");
  auto volume = agent_->client().EnsureVolume(context_, request);
  EXPECT_EQ(volume.status().code(), absl::StatusCode::kInvalidArgument) << volume.status();
}

TEST_P(AgentClientContract, AnAnswerThatNobodyWaitsForIsTaken) {
  agent::v1::PodAnswer answer;
  answer.set_id(7);
  answer.add_devices()->set_device("gpu-0");
  EXPECT_EQ(agent_->client().AnswerPodQuestion(context_, answer), absl::OkStatus());
}

TEST_P(AgentClientContract, AVolumeOfAnUnknownPoolIsNotFound) {
  auto volume = agent_->client().EnsureVolume(context_, VolumeRequest("v1", kMi));
  EXPECT_EQ(volume.status().code(), absl::StatusCode::kNotFound) << volume.status();
}

TEST_P(AgentClientContract, AVolumeGrowsAndNeverShrinks) {
  MakePool();
  ASSERT_TRUE(agent_->client().EnsureVolume(context_, VolumeRequest("v1", 8 * kMi)).ok());
  auto grown = agent_->client().ResizeVolume(context_, "v1", 16 * kMi);
  ASSERT_TRUE(grown.ok()) << grown.status();
  EXPECT_EQ(grown->size_bytes(), 16 * kMi);
  auto same = agent_->client().ResizeVolume(context_, "v1", 4 * kMi);
  ASSERT_TRUE(same.ok()) << same.status();
  EXPECT_EQ(same->size_bytes(), 16 * kMi);
  EXPECT_EQ(agent_->client().ResizeVolume(context_, "v2", kMi).status().code(),
            absl::StatusCode::kNotFound);
}

TEST_P(AgentClientContract, WhatIsModifiedIsReportedUntilItIsModifiedAgain) {
  MakePool();
  ASSERT_TRUE(agent_->client().EnsureVolume(context_, VolumeRequest("v1", 8 * kMi)).ok());
  agent::v1::ModifyVolumeRequest request;
  request.set_volume_id("v1");
  request.mutable_attributes()->set_read_iops(100);
  request.mutable_attributes()->set_trim(agent::v1::TRIM_SCHEDULE_DAILY);
  auto modified = agent_->client().ModifyVolume(context_, request);
  ASSERT_TRUE(modified.ok()) << modified.status();
  EXPECT_EQ(modified->attributes().read_iops(), 100);
  AwaitInventory([&](const agent::v1::Inventory& i) {
    return i.volumes_size() == 1 && i.volumes(0).attributes().read_iops() == 100 &&
           i.volumes(0).attributes().trim() == agent::v1::TRIM_SCHEDULE_DAILY;
  });
  request.clear_attributes();
  ASSERT_TRUE(agent_->client().ModifyVolume(context_, request).ok());
  AwaitInventory([&](const agent::v1::Inventory& i) {
    return i.volumes_size() == 1 && i.volumes(0).attributes().read_iops() == 0;
  });
}

TEST_P(AgentClientContract, ImpossibleModificationsAreRefused) {
  MakePool();
  ASSERT_TRUE(agent_->client().EnsureVolume(context_, VolumeRequest("v1", 8 * kMi)).ok());
  agent::v1::ModifyVolumeRequest request;
  request.set_volume_id("v2");
  EXPECT_EQ(agent_->client().ModifyVolume(context_, request).status().code(),
            absl::StatusCode::kNotFound);
  request.set_volume_id("v1");
  request.mutable_attributes()->set_read_iops(-1);
  EXPECT_EQ(agent_->client().ModifyVolume(context_, request).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST_P(AgentClientContract, RemovingGivesTheBytesBackAndMayBeRepeated) {
  MakePool();
  auto allocatable = [&] {
    return AwaitInventory([](const auto& i) { return i.pools_size() == 1; })
        .pools(0)
        .allocatable_bytes();
  };
  const int64_t before = allocatable();
  ASSERT_TRUE(agent_->client().EnsureVolume(context_, VolumeRequest("v1", 8 * kMi)).ok());
  EXPECT_TRUE(agent_->client().RemoveVolume(context_, "v1").ok());
  EXPECT_TRUE(agent_->client().RemoveVolume(context_, "v1").ok());
  // The stream is told before or after the call returns: wait for it.
  AwaitInventory([&](const agent::v1::Inventory& i) {
    return i.volumes_size() == 0 && i.pools(0).allocatable_bytes() >= before - kMi;
  });
}

TEST_P(AgentClientContract, ASnapshotIsTakenOnceAndVolumesAreMadeOfIt) {
  MakePool();
  ASSERT_TRUE(agent_->client().EnsureVolume(context_, VolumeRequest("v1", 8 * kMi)).ok());
  agent::v1::EnsureSnapshotsRequest request;
  request.add_snapshots()->set_snapshot_id("s1");
  request.mutable_snapshots(0)->set_volume_id("v1");
  auto taken = agent_->client().EnsureSnapshots(context_, request);
  if (absl::IsUnimplemented(taken.status())) GTEST_SKIP() << taken.status();
  ASSERT_TRUE(taken.ok()) << taken.status();
  ASSERT_EQ(taken->snapshots_size(), 1);
  EXPECT_TRUE(taken->snapshots(0).snapshot());
  EXPECT_EQ(taken->snapshots(0).source(), "v1");
  EXPECT_EQ(taken->snapshots(0).size_bytes(), 8 * kMi);
  EXPECT_TRUE(agent_->client().EnsureSnapshots(context_, request).ok()) << "may be repeated";
  agent::v1::EnsureVolumeRequest restore = VolumeRequest("r1", 16 * kMi);
  restore.set_source("s1");
  ASSERT_TRUE(agent_->client().EnsureVolume(context_, restore).ok());
  EXPECT_EQ(agent_->client().EnsureVolume(context_, restore)->source(), "s1");
  restore.set_volume_id("r2");
  restore.set_source("absent");
  EXPECT_EQ(agent_->client().EnsureVolume(context_, restore).status().code(),
            absl::StatusCode::kNotFound);
  request.mutable_snapshots(0)->set_volume_id("r1");
  EXPECT_EQ(agent_->client().EnsureSnapshots(context_, request).status().code(),
            absl::StatusCode::kAlreadyExists);
  // What has the id is of the other kind, and stays.
  EXPECT_TRUE(agent_->client().RemoveVolume(context_, "s1").ok());
  EXPECT_TRUE(agent_->client().RemoveSnapshot(context_, "r1").ok());
  EXPECT_TRUE(agent_->client().RemoveVolume(context_, "v1").ok()) << "the source goes first";
  AwaitInventory([](const agent::v1::Inventory& i) { return i.volumes_size() == 2; });
  EXPECT_TRUE(agent_->client().RemoveSnapshot(context_, "s1").ok());
  EXPECT_TRUE(agent_->client().RemoveSnapshot(context_, "s1").ok());
  EXPECT_TRUE(agent_->client().RemoveVolume(context_, "r1").ok());
  AwaitInventory([](const agent::v1::Inventory& i) { return i.volumes_size() == 0; });
}

TEST_P(AgentClientContract, APoolWithVolumesStays) {
  MakePool();
  ASSERT_TRUE(agent_->client().EnsureVolume(context_, VolumeRequest("v1", kMi * 8)).ok());
  EXPECT_EQ(agent_->client().RemovePool(context_, "fast").code(),
            absl::StatusCode::kFailedPrecondition);
  ASSERT_TRUE(agent_->client().RemoveVolume(context_, "v1").ok());
  EXPECT_TRUE(agent_->client().RemovePool(context_, "fast").ok());
  EXPECT_TRUE(agent_->client().RemovePool(context_, "fast").ok());
}

}  // namespace ashlar::controller
