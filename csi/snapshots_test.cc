#include "csi/snapshots.h"

#include <thread>

#include "csi/controller.h"
#include "csi/names.h"
#include "csi/testing/carving_controller.h"
#include "csi/testing/taking_controller.h"
#include "csi/topology.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/api/kinds.h"
#include "lib/kube/testing/fake_client.h"

namespace ashlar::csi_driver {
namespace {

using absl::StatusCode;

constexpr int64_t kMiB = int64_t{1} << 20;

class SnapshotsTest : public testing::Test {
 protected:
  void SetUp() override {
    v1alpha1::Pool pool;
    for (const char* name : {"fast", "slow"}) {
      pool.mutable_metadata()->set_name(name);
      kube_.Put(api::Kind<v1alpha1::Pool>(), api::ToJson(pool));
    }
    for (runtime::Informer* informer :
         {&volume_informer_, &pool_informer_, &snapshot_informer_, &group_informer_})
      ASSERT_TRUE(informer->AwaitSync({}).ok());
    kube_.AwaitWatches(7);
    ASSERT_TRUE(CreateVolume("v", 100 * kMiB).ok());
  }
  csi::v1::CreateVolumeRequest VolumeRequest(const std::string& name, int64_t bytes) {
    csi::v1::CreateVolumeRequest request;
    request.set_name(name);
    (*request.mutable_parameters())["pool"] = "fast";
    request.mutable_capacity_range()->set_required_bytes(bytes);
    csi::v1::VolumeCapability& capability = *request.add_volume_capabilities();
    capability.mutable_mount();
    capability.mutable_access_mode()->set_mode(
        csi::v1::VolumeCapability::AccessMode::SINGLE_NODE_WRITER);
    return request;
  }
  absl::StatusOr<csi::v1::CreateVolumeResponse> CreateVolume(const std::string& name,
                                                             int64_t bytes) {
    return controller_.CreateVolume({}, VolumeRequest(name, bytes));
  }
  absl::StatusOr<csi::v1::CreateVolumeResponse> Restore(
      const std::function<void(csi::v1::CreateVolumeRequest&)>& change) {
    csi::v1::CreateVolumeRequest request = VolumeRequest("r", 100 * kMiB);
    request.mutable_volume_content_source()->mutable_snapshot()->set_snapshot_id("s");
    change(request);
    return controller_.CreateVolume({}, request);
  }
  absl::StatusOr<csi::v1::CreateSnapshotResponse> Take(const std::string& name,
                                                       const std::string& volume) {
    csi::v1::CreateSnapshotRequest request;
    request.set_name(name);
    request.set_source_volume_id(volume);
    return snapshots_.CreateSnapshot({}, request);
  }
  bool Exists(const std::string& name) { return snapshots_.Find({}, name).ok(); }
  void AwaitListed(const std::string& name) {
    while (snapshot_informer_.Get({"", name}) == nullptr ||
           FindJson(*snapshot_informer_.Get({"", name}), {"status", "size"}) == nullptr)
      std::this_thread::yield();
  }

  RealClock clock_;
  kube::FakeClient kube_{clock_};
  runtime::Informer volume_informer_{kube_, api::Kind<v1alpha1::Volume>(), clock_};
  runtime::Informer pool_informer_{kube_, api::Kind<v1alpha1::Pool>(), clock_};
  runtime::Informer snapshot_informer_{kube_, api::Kind<v1alpha1::Snapshot>(), clock_};
  runtime::Informer group_informer_{kube_, api::Kind<v1alpha1::SnapshotGroup>(), clock_};
  VolumeObjects volumes_{kube_, volume_informer_, clock_};
  Snapshots snapshots_{kube_, volumes_, snapshot_informer_, group_informer_, clock_};
  Controller controller_{kube_, volumes_, snapshots_, pool_informer_};
  std::jthread volume_thread_{[this](std::stop_token stop) { volume_informer_.Run(stop); }};
  std::jthread pool_thread_{[this](std::stop_token stop) { pool_informer_.Run(stop); }};
  std::jthread snapshot_thread_{[this](std::stop_token stop) { snapshot_informer_.Run(stop); }};
  std::jthread group_thread_{[this](std::stop_token stop) { group_informer_.Run(stop); }};
  CarvingController carver_{kube_};
  TakingController taker_{kube_};
};

TEST_F(SnapshotsTest, ASnapshotIsTakenOnceListedAndDeleted) {
  const auto taken = Take("s", "v");
  ASSERT_TRUE(taken.ok()) << taken.status();
  EXPECT_EQ(taken->snapshot().snapshot_id(), "s");
  EXPECT_EQ(taken->snapshot().source_volume_id(), "v");
  EXPECT_EQ(taken->snapshot().size_bytes(), 100 * kMiB);
  EXPECT_TRUE(taken->snapshot().ready_to_use());
  EXPECT_TRUE(Take("s", "v").ok());
  ASSERT_TRUE(CreateVolume("w", 100 * kMiB).ok());
  EXPECT_EQ(Take("s", "w").status().code(), StatusCode::kAlreadyExists);
  ASSERT_TRUE(Take("t", "w").ok());
  for (const char* name : {"s", "t"}) AwaitListed(name);
  csi::v1::ListSnapshotsRequest list;
  list.set_max_entries(1);
  auto page = snapshots_.ListSnapshots({}, list);
  ASSERT_EQ(page->entries_size(), 1);
  list.set_starting_token(page->next_token());
  page = snapshots_.ListSnapshots({}, list);
  ASSERT_EQ(page->entries_size(), 1);
  EXPECT_EQ(page->entries(0).snapshot().snapshot_id(), "t");
  EXPECT_EQ(page->next_token(), "");
  list.Clear();
  list.set_source_volume_id("w");
  EXPECT_EQ(snapshots_.ListSnapshots({}, list)->entries_size(), 1);
  list.set_snapshot_id("s");
  EXPECT_EQ(snapshots_.ListSnapshots({}, list)->entries_size(), 0);
  list.set_starting_token("other");
  EXPECT_EQ(snapshots_.ListSnapshots({}, list).status().code(), StatusCode::kAborted);
  csi::v1::GetSnapshotRequest get;
  get.set_snapshot_id("s");
  EXPECT_TRUE(snapshots_.GetSnapshot({}, get).ok());
  csi::v1::DeleteSnapshotRequest remove;
  EXPECT_EQ(snapshots_.DeleteSnapshot({}, remove).status().code(), StatusCode::kInvalidArgument);
  for (const char* id : {"s", "s", "../s"}) {
    remove.set_snapshot_id(id);
    EXPECT_TRUE(snapshots_.DeleteSnapshot({}, remove).ok()) << "absent is success";
  }
  EXPECT_EQ(snapshots_.GetSnapshot({}, get).status().code(), StatusCode::kNotFound);
}

TEST_F(SnapshotsTest, ASnapshotIsUsableOnTheNodeOfItsVolumeAndRefusedWhereAnotherIsRequired) {
  csi::v1::CreateSnapshotRequest request;
  request.set_name("s");
  request.set_source_volume_id("v");
  const auto require = [&](const std::string& key, const std::string& value) {
    request.mutable_accessibility_requirements()->clear_requisite();
    (*request.mutable_accessibility_requirements()->add_requisite()->mutable_segments())[key] =
        value;
    return snapshots_.CreateSnapshot({}, request);
  };
  const absl::Status elsewhere = require(kTopologyKey, "n2").status();
  EXPECT_EQ(elsewhere.code(), StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(elsewhere.message()), testing::HasSubstr("n1, asked for is n2"));
  EXPECT_EQ(require("zone", "none").status().code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(require("zone", "not a label").status().code(), StatusCode::kInvalidArgument);
  EXPECT_FALSE(Exists("s"));
  const auto taken = require(kTopologyKey, "n1");
  ASSERT_TRUE(taken.ok()) << taken.status();
  ASSERT_EQ(taken->snapshot().accessible_topology_size(), 1);
  EXPECT_EQ(NodeOf(taken->snapshot().accessible_topology(0)), "n1");
}

TEST_F(SnapshotsTest, ARefusalHasItsCodeAndLeavesNothing) {
  EXPECT_EQ(Take("", "v").status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(Take("s", "").status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(Take("s", "absent").status().code(), StatusCode::kNotFound);
  taker_.SetReason("NoCapacity");
  EXPECT_EQ(Take("s", "v").status().code(), StatusCode::kResourceExhausted);
  EXPECT_FALSE(Exists("s"));
  taker_.SetReason("CopiesNotSupported");
  EXPECT_EQ(Take("s", "v").status().code(), StatusCode::kFailedPrecondition);
  EXPECT_FALSE(Exists("s"));
  csi::v1::CreateSnapshotRequest request;
  request.set_name("s");
  request.set_source_volume_id("v");
  (*request.mutable_parameters())["unknown"] = "x";
  EXPECT_EQ(snapshots_.CreateSnapshot({}, request).status().code(), StatusCode::kInvalidArgument);
  EXPECT_FALSE(Exists("s"));
}

TEST_F(SnapshotsTest, ARestoreLiesWhereTheSnapshotLiesAndFitsIt) {
  ASSERT_TRUE(Take("s", "v").ok());
  const auto larger =
      Restore([](auto& r) { r.mutable_capacity_range()->set_required_bytes(200 * kMiB); });
  ASSERT_TRUE(larger.ok()) << larger.status();
  EXPECT_EQ(larger->volume().content_source().snapshot().snapshot_id(), "s");
  EXPECT_EQ(larger->volume().capacity_bytes(), 200 * kMiB);
  EXPECT_EQ(volumes_.Find({}, "r")->spec().source().name(), "s");
  const auto refused = [&](StatusCode code,
                           const std::function<void(csi::v1::CreateVolumeRequest&)>& change) {
    const absl::Status status = Restore([&](auto& r) {
                                  r.set_name("x");
                                  change(r);
                                }).status();
    EXPECT_EQ(status.code(), code) << status;
    EXPECT_FALSE(volumes_.Find({}, "x").ok());
  };
  refused(StatusCode::kOutOfRange,
          [](auto& r) { r.mutable_capacity_range()->set_required_bytes(50 * kMiB); });
  refused(StatusCode::kOutOfRange, [](auto& r) {
    r.mutable_capacity_range()->set_required_bytes(0);
    r.mutable_capacity_range()->set_limit_bytes(50 * kMiB);
  });
  refused(StatusCode::kInvalidArgument,
          [](auto& r) { (*r.mutable_parameters())["pool"] = "slow"; });
  refused(StatusCode::kInvalidArgument,
          [](auto& r) { r.mutable_volume_capabilities(0)->mutable_mount()->set_fs_type("xfs"); });
  refused(StatusCode::kInvalidArgument,
          [](auto& r) { r.mutable_volume_capabilities(0)->mutable_block(); });
  refused(StatusCode::kNotFound, [](auto& r) {
    r.mutable_volume_content_source()->mutable_volume()->set_volume_id("absent");
  });
  refused(StatusCode::kResourceExhausted, [](auto& r) {
    (*r.mutable_accessibility_requirements()->add_requisite()->mutable_segments())[kTopologyKey] =
        "n2";
  });
  // The volume is there, so its source need not be any more.
  csi::v1::DeleteSnapshotRequest remove;
  remove.set_snapshot_id("s");
  ASSERT_TRUE(snapshots_.DeleteSnapshot({}, remove).ok());
  EXPECT_TRUE(
      Restore([](auto& r) { r.mutable_capacity_range()->set_required_bytes(200 * kMiB); }).ok());
}

TEST_F(SnapshotsTest, AGroupIsTakenOnceAndRefusedWithItsReason) {
  ASSERT_TRUE(CreateVolume("w", 100 * kMiB).ok());
  csi::v1::CreateVolumeGroupSnapshotRequest request;
  request.set_name("g");
  EXPECT_EQ(snapshots_.CreateGroup({}, request).status().code(), StatusCode::kInvalidArgument);
  request.add_source_volume_ids("w");
  request.add_source_volume_ids("v");
  const auto taken = snapshots_.CreateGroup({}, request);
  ASSERT_TRUE(taken.ok()) << taken.status();
  ASSERT_EQ(taken->group_snapshot().snapshots_size(), 2);
  EXPECT_EQ(taken->group_snapshot().snapshots(0).group_snapshot_id(), "g");
  EXPECT_TRUE(snapshots_.CreateGroup({}, request).ok());
  request.add_source_volume_ids("absent");
  EXPECT_EQ(snapshots_.CreateGroup({}, request).status().code(), StatusCode::kAlreadyExists);
  csi::v1::GetVolumeGroupSnapshotRequest get;
  get.set_group_snapshot_id("g");
  EXPECT_TRUE(snapshots_.GetGroup({}, get).ok());
  csi::v1::DeleteVolumeGroupSnapshotRequest remove;
  remove.set_group_snapshot_id("g");
  EXPECT_TRUE(snapshots_.DeleteGroup({}, remove).ok());
  EXPECT_EQ(snapshots_.GetGroup({}, get).status().code(), StatusCode::kNotFound);
  taker_.SetReason("VolumesOnDifferentNodes");
  request.mutable_source_volume_ids()->RemoveLast();
  EXPECT_EQ(snapshots_.CreateGroup({}, request).status().code(), StatusCode::kFailedPrecondition);
  EXPECT_EQ(snapshots_.GetGroup({}, get).status().code(), StatusCode::kNotFound);
}

}  // namespace
}  // namespace ashlar::csi_driver
