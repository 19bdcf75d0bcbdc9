#include "csi/controller.h"

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "csi/names.h"
#include "csi/publications.h"
#include "csi/testing/carving_controller.h"
#include "csi/volume_condition.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/api/kinds.h"
#include "lib/base/testing/simulated_clock.h"
#include "lib/kube/core_kinds.h"
#include "lib/kube/testing/fake_client.h"

namespace ashlar::csi_driver {
namespace {

using absl::StatusCode;
using csi::v1::CreateVolumeRequest;
using testing::HasSubstr;
using v1alpha1::Volume;

constexpr int64_t kMiB = 1 << 20;

class ControllerTest : public testing::Test {
 protected:
  void SetUp() override {
    v1alpha1::Pool pool;
    pool.mutable_metadata()->set_name("fast");
    pool.mutable_spec()->mutable_directory()->set_path("/pool");
    AddNode(pool, "n1", true, 1000 * kMiB, 800 * kMiB);
    AddNode(pool, "n2", true, 3000 * kMiB, 600 * kMiB);
    AddNode(pool, "n3", false, 9000 * kMiB, 9000 * kMiB);
    kube_.Put(api::Kind<v1alpha1::Pool>(), api::ToJson(pool));
    ASSERT_TRUE(volume_informer_.AwaitSync({}).ok());
    ASSERT_TRUE(pool_informer_.AwaitSync({}).ok());
    // The first list may be older than the pool.
    while (pool_informer_.Get({"", "fast"}) == nullptr) std::this_thread::yield();
    // The controller's watch and the informers'.
    kube_.AwaitWatches(3);
  }
  static void AddNode(v1alpha1::Pool& pool, const std::string& node, bool ready, int64_t free,
                      int64_t largest) {
    v1alpha1::PoolNodeStatus& status = *pool.mutable_status()->add_nodes();
    status.set_node(node);
    status.set_ready(ready);
    status.set_allocatable(free);
    status.set_largest_volume(largest);
  }
  static CreateVolumeRequest Request(const std::string& name = "pvc-1") {
    CreateVolumeRequest request;
    request.set_name(name);
    auto& capability = *request.add_volume_capabilities();
    capability.mutable_mount();
    capability.mutable_access_mode()->set_mode(
        csi::v1::VolumeCapability::AccessMode::SINGLE_NODE_WRITER);
    (*request.mutable_parameters())["pool"] = "fast";
    request.mutable_capacity_range()->set_required_bytes(100 * kMiB);
    return request;
  }
  absl::StatusOr<csi::v1::CreateVolumeResponse> Create(const CreateVolumeRequest& request) {
    return controller_.CreateVolume({.request_id = "r1"}, request);
  }
  absl::Status Delete(const std::string& id) {
    csi::v1::DeleteVolumeRequest request;
    request.set_volume_id(id);
    return controller_.DeleteVolume({}, request).status();
  }
  absl::StatusOr<csi::v1::ControllerExpandVolumeResponse> Expand(const std::string& id,
                                                                 int64_t bytes) {
    csi::v1::ControllerExpandVolumeRequest request;
    request.set_volume_id(id);
    request.mutable_capacity_range()->set_required_bytes(bytes);
    return controller_.ExpandVolume({}, request);
  }
  absl::StatusOr<Volume> Object(const std::string& name) {
    const auto object = kube_.Get({}, api::Kind<Volume>(), {"", name});
    if (!object.ok()) return object.status();
    return api::FromJson<Volume>(*object);
  }

  SimulatedClock clock_;
  kube::FakeClient kube_{clock_};
  runtime::Informer volume_informer_{kube_, api::Kind<Volume>(), clock_};
  runtime::Informer pool_informer_{kube_, api::Kind<v1alpha1::Pool>(), clock_};
  VolumeObjects volumes_{kube_, volume_informer_, clock_};
  runtime::Informer snapshot_informer_{kube_, api::Kind<v1alpha1::Snapshot>(), clock_};
  runtime::Informer group_informer_{kube_, api::Kind<v1alpha1::SnapshotGroup>(), clock_};
  Snapshots snapshots_{kube_, volumes_, snapshot_informer_, group_informer_, clock_};
  Controller controller_{kube_, volumes_, snapshots_, pool_informer_};
  std::jthread volume_thread_{[this](std::stop_token stop) { volume_informer_.Run(stop); }};
  std::jthread pool_thread_{[this](std::stop_token stop) { pool_informer_.Run(stop); }};
  CarvingController carver_{kube_};
};

TEST_F(ControllerTest, VolumesForGpuDirectStorageLieStraightOnADrive) {
  CreateVolumeRequest request = Request("pvc-direct");
  (*request.mutable_parameters())["gpuDirect"] = "Required";
  EXPECT_EQ(
      std::string(Create(request).status().message()),
      "parameters[gpuDirect] 'Required': pool fast has the backend File, which puts something "
      "between filesystem and drive; accepted: Partition, Namespace, WholeDrive");
  for (const char* backend : {"LVM", "Directory", "Partition"}) {
    SCOPED_TRACE(backend);
    v1alpha1::Pool pool;
    const std::string name = absl::AsciiStrToLower(backend);
    pool.mutable_metadata()->set_name(name);
    pool.mutable_spec()->set_backend(backend);
    AddNode(pool, "n1", true, 1000 * kMiB, 800 * kMiB);
    kube_.Put(api::Kind<v1alpha1::Pool>(), api::ToJson(pool));
    (*request.mutable_parameters())["pool"] = name;
    EXPECT_THAT(std::string(Create(request).status().message()),
                backend == std::string("Partition")
                    ? HasSubstr("ext4 needs data=ordered among the mountOptions")
                    : HasSubstr(absl::StrCat("pool ", name, " has the backend ", backend)));
  }
  request.mutable_volume_capabilities(0)->mutable_mount()->add_mount_flags("data=ordered");
  const auto response = Create(request);
  ASSERT_TRUE(response.ok()) << response.status();
  EXPECT_EQ(response->volume().volume_context().at("gpuDirect"), "Required");
  EXPECT_EQ(Object("pvc-direct")->spec().gpu_direct(), "Required");
  (*request.mutable_parameters())["gpuDirect"] = "Preferred";
  EXPECT_EQ(Create(request).status().code(), StatusCode::kAlreadyExists);
  (*request.mutable_parameters())["gpuDirect"] = "Always";
  EXPECT_THAT(std::string(Create(request).status().message()),
              HasSubstr("parameters[gpuDirect] 'Always' is not known; accepted: Required"));
}

TEST_F(ControllerTest, CreateWritesTheVolumeAndAnswersWhenItIsCarved) {
  CreateVolumeRequest request = Request();
  (*request.mutable_parameters())["csi.storage.k8s.io/pvc/name"] = "data";
  (*request.mutable_parameters())["csi.storage.k8s.io/pvc/namespace"] = "ml";
  const auto response = Create(request);
  ASSERT_TRUE(response.ok()) << response.status();
  EXPECT_EQ(response->volume().volume_id(), "pvc-1");
  EXPECT_EQ(response->volume().capacity_bytes(), 100 * kMiB);
  ASSERT_EQ(response->volume().accessible_topology_size(), 1);
  EXPECT_EQ(NodeOf(response->volume().accessible_topology(0)), "n1");
  const Volume volume = *Object("pvc-1");
  EXPECT_EQ(volume.spec().pool(), "fast");
  EXPECT_EQ(volume.spec().fs_type(), "ext4");
  EXPECT_EQ(volume.spec().claim_ref().name(), "data");
  EXPECT_THAT(volume.metadata().finalizers(), testing::ElementsAre("ashlar.dev/agent"));
  EXPECT_EQ(volume.metadata().annotations().at("ashlar.dev/request-id"), "r1");
}

TEST_F(ControllerTest, RepeatedCreateGivesTheSameVolumeAndADifferentOneIsRefused) {
  ASSERT_TRUE(Create(Request()).ok());
  EXPECT_TRUE(Create(Request()).ok());
  std::vector<CreateVolumeRequest> others(4, Request());
  others[0].mutable_capacity_range()->set_required_bytes(200 * kMiB);
  others[1].mutable_volume_capabilities(0)->mutable_block();
  others[2].mutable_volume_capabilities(0)->mutable_mount()->set_fs_type("xfs");
  (*others[3]
        .mutable_accessibility_requirements()
        ->add_requisite()
        ->mutable_segments())[kTopologyKey] = "n2";
  for (const CreateVolumeRequest& other : others) {
    EXPECT_EQ(Create(other).status().code(), StatusCode::kAlreadyExists) << other.DebugString();
  }
}

TEST_F(ControllerTest, TopologyDecidesTheNode) {
  CreateVolumeRequest request = Request();
  (*request.mutable_accessibility_requirements()
        ->add_requisite()
        ->mutable_segments())[kTopologyKey] = "n2";
  const auto response = Create(request);
  ASSERT_TRUE(response.ok()) << response.status();
  EXPECT_EQ(NodeOf(response->volume().accessible_topology(0)), "n2");
}

TEST_F(ControllerTest, NameThatKubernetesDoesNotTakeGetsAnIdAndIsKept) {
  const auto response = Create(Request("My Volume"));
  ASSERT_TRUE(response.ok()) << response.status();
  const Volume volume = *Object(response->volume().volume_id());
  EXPECT_EQ(volume.metadata().annotations().at("ashlar.dev/csi-name"), "My Volume");
}

TEST_F(ControllerTest, NoCapacityIsSaidAndLeavesNothingBehind) {
  carver_.SetReason("NoCapacity");
  const absl::Status status = Create(Request()).status();
  EXPECT_EQ(status.code(), StatusCode::kResourceExhausted) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("as the test has it"));
  EXPECT_EQ(Object("pvc-1").status().code(), StatusCode::kNotFound);
}

TEST_F(ControllerTest, UnknownPoolIsRefusedWithTheNamesThatExist) {
  CreateVolumeRequest request = Request();
  (*request.mutable_parameters())["pool"] = "slow";
  const absl::Status status = Create(request).status();
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("no Pool 'slow'; there are: fast"));
}

TEST_F(ControllerTest, TimeThatRunsOutLeavesTheVolumeToBePickedUpByARepeat) {
  carver_.SetReason("PoolNotReady");
  absl::Status status;
  std::jthread caller([&] {
    status = controller_.CreateVolume({.deadline = clock_.Now() + absl::Seconds(10)}, Request())
                 .status();
  });
  runtime::ObjectPtr seen;
  while (seen == nullptr || FindJson(*seen, {"status", "conditions"}) == nullptr) {
    seen = volume_informer_.Get({"", "pvc-1"});
  }
  clock_.Advance(absl::Seconds(10));
  caller.join();
  EXPECT_EQ(status.code(), StatusCode::kDeadlineExceeded);
  EXPECT_THAT(std::string(status.message()), HasSubstr("PoolNotReady"));
  EXPECT_TRUE(Object("pvc-1").ok());
  carver_.SetReason("");
  carver_.Retry();
  EXPECT_TRUE(Create(Request()).ok());
}

TEST_F(ControllerTest, ACallerThatLeavesEndsTheWait) {
  carver_.SetReason("-");
  std::stop_source stop;
  std::jthread caller([&] {
    EXPECT_EQ(controller_.CreateVolume({.stop = stop.get_token()}, Request()).status().code(),
              StatusCode::kCancelled);
  });
  while (!Object("pvc-1").ok()) std::this_thread::yield();
  stop.request_stop();
}

TEST_F(ControllerTest, DeleteWaitsUntilTheVolumeIsGoneAndMayBeRepeated) {
  ASSERT_TRUE(Create(Request()).ok());
  EXPECT_TRUE(Delete("pvc-1").ok());
  EXPECT_EQ(Object("pvc-1").status().code(), StatusCode::kNotFound);
  EXPECT_TRUE(Delete("pvc-1").ok());
  EXPECT_TRUE(Delete("Not An Id").ok()) << "absent is success";
  EXPECT_EQ(Delete("").code(), StatusCode::kInvalidArgument);
}

TEST_F(ControllerTest, CreateOfAVolumeThatIsBeingDeletedIsAborted) {
  ASSERT_TRUE(Create(Request()).ok());
  carver_.SetReason("-");
  ASSERT_TRUE(kube_.Delete({}, api::Kind<Volume>(), {"", "pvc-1"}, {}).ok());
  EXPECT_EQ(Create(Request()).status().code(), StatusCode::kAborted);
}

TEST_F(ControllerTest, ExpandRaisesTheSizeAndWaitsForIt) {
  ASSERT_TRUE(Create(Request()).ok());
  const auto response = Expand("pvc-1", 150 * kMiB + 1);
  ASSERT_TRUE(response.ok()) << response.status();
  EXPECT_EQ(response->capacity_bytes(), 151 * kMiB);
  EXPECT_TRUE(response->node_expansion_required());
  EXPECT_EQ(Expand("pvc-1", 120 * kMiB)->capacity_bytes(), 151 * kMiB) << "never shrinks";
  EXPECT_EQ(Expand("absent", 120 * kMiB).status().code(), StatusCode::kNotFound);
}

TEST_F(ControllerTest, AnExpansionThatIsRefusedIsTakenBackSoThatASmallerOneCanFollow) {
  ASSERT_TRUE(Create(Request()).ok());
  carver_.SetReason("NoCapacity");
  EXPECT_EQ(Expand("pvc-1", 300 * kMiB).status().code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(Object("pvc-1")->spec().size(), 100 * kMiB);
  carver_.SetReason("");
  EXPECT_EQ(Expand("pvc-1", 150 * kMiB)->capacity_bytes(), 150 * kMiB);
  EXPECT_EQ(Object("pvc-1")->spec().size(), 150 * kMiB);
}

TEST_F(ControllerTest, ARefusedExpansionTakesNothingBackThatSomebodyElseAskedFor) {
  ASSERT_TRUE(Create(Request()).ok());
  carver_.SetReason("NoCapacity");
  Volume refused = *Object("pvc-1");
  refused.mutable_spec()->set_size(300 * kMiB);
  refused.mutable_metadata()->set_generation(refused.metadata().generation() + 1);
  ASSERT_TRUE(volumes_.Resize({}, "pvc-1", 300 * kMiB).ok());
  ASSERT_TRUE(volumes_.Resize({}, "pvc-1", 400 * kMiB).ok());
  ASSERT_TRUE(volumes_.TakeBackGrowth({}, refused).ok());
  EXPECT_EQ(Object("pvc-1")->spec().size(), 400 * kMiB);
}

TEST_F(ControllerTest, ASmallerExpansionReplacesALargerOneThatIsStillUnderWay) {
  ASSERT_TRUE(Create(Request()).ok());
  carver_.SetReason("-");
  ASSERT_TRUE(volumes_.Resize({}, "pvc-1", 300 * kMiB).ok());
  const Volume larger = *Object("pvc-1");
  ASSERT_EQ(larger.spec().size(), 300 * kMiB);
  carver_.AwaitSeen(larger.metadata().resource_version());
  carver_.SetReason("");
  EXPECT_EQ(Expand("pvc-1", 150 * kMiB)->capacity_bytes(), 150 * kMiB);
}

TEST_F(ControllerTest, ExpandBeyondWhatTheNodeHasChangesNothing) {
  ASSERT_TRUE(Create(Request()).ok());
  const absl::Status status = Expand("pvc-1", 2000 * kMiB).status();
  EXPECT_EQ(status.code(), StatusCode::kResourceExhausted) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("left on node n1"));
  EXPECT_EQ(Object("pvc-1")->spec().size(), 100 * kMiB);
}

TEST_F(ControllerTest, ExpandBeyondTheLargestVolumeChangesNothingThoughTheSumHasRoom) {
  ASSERT_TRUE(Create(Request()).ok());
  const absl::Status status = Expand("pvc-1", 950 * kMiB).status();
  EXPECT_EQ(status.code(), StatusCode::kResourceExhausted) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("of which one volume can have 838860800"));
  EXPECT_EQ(Object("pvc-1")->spec().size(), 100 * kMiB);
  EXPECT_TRUE(Expand("pvc-1", 900 * kMiB).ok());
}

TEST_F(ControllerTest, CapacityIsThatOfReadyNodesPerTopologyAndPool) {
  const auto capacity = [&](const std::string& pool, const std::string& node) {
    csi::v1::GetCapacityRequest request;
    if (!pool.empty()) (*request.mutable_parameters())["pool"] = pool;
    if (!node.empty()) {
      (*request.mutable_accessible_topology()->mutable_segments())[kTopologyKey] = node;
    }
    return *controller_.GetCapacity({}, request);
  };
  EXPECT_EQ(capacity("fast", "n1").available_capacity(), 1000 * kMiB);
  EXPECT_EQ(capacity("fast", "n1").maximum_volume_size().value(), 800 * kMiB) << "of one drive";
  EXPECT_EQ(capacity("fast", "").available_capacity(), 4000 * kMiB);
  EXPECT_EQ(capacity("fast", "n2").maximum_volume_size().value(), 600 * kMiB);
  EXPECT_EQ(capacity("fast", "").maximum_volume_size().value(), 800 * kMiB) << "on some node";
  EXPECT_EQ(capacity("", "").available_capacity(), 4000 * kMiB);
  EXPECT_EQ(capacity("fast", "n3").available_capacity(), 0) << "not ready";
  EXPECT_EQ(capacity("fast", "n9").available_capacity(), 0);
  EXPECT_EQ(capacity("slow", "n1").available_capacity(), 0);
}

TEST_F(ControllerTest, ListsInPagesAndRefusesForeignTokens) {
  for (const char* name : {"c", "a", "b"}) ASSERT_TRUE(Create(Request(name)).ok());
  csi::v1::ListVolumesRequest request;
  request.set_max_entries(2);
  const auto first = controller_.ListVolumes({}, request);
  ASSERT_TRUE(first.ok()) << first.status();
  ASSERT_EQ(first->entries_size(), 2);
  EXPECT_EQ(first->entries(0).volume().volume_id(), "a");
  request.set_starting_token(first->next_token());
  const auto second = controller_.ListVolumes({}, request);
  ASSERT_EQ(second->entries_size(), 1);
  EXPECT_EQ(second->entries(0).volume().volume_id(), "c");
  EXPECT_EQ(second->next_token(), "");
  request.set_starting_token("elsewhere");
  EXPECT_EQ(controller_.ListVolumes({}, request).status().code(), StatusCode::kAborted);
}

TEST_F(ControllerTest, ValidatesCapabilitiesAgainstTheVolume) {
  ASSERT_TRUE(Create(Request()).ok());
  csi::v1::ValidateVolumeCapabilitiesRequest request;
  request.set_volume_id("pvc-1");
  EXPECT_EQ(controller_.ValidateVolumeCapabilities({}, request).status().code(),
            StatusCode::kInvalidArgument);
  *request.mutable_volume_capabilities() = Request().volume_capabilities();
  EXPECT_TRUE(controller_.ValidateVolumeCapabilities({}, request)->has_confirmed());
  request.mutable_volume_capabilities(0)->mutable_block();
  const auto answer = controller_.ValidateVolumeCapabilities({}, request);
  EXPECT_FALSE(answer->has_confirmed());
  EXPECT_THAT(answer->message(), HasSubstr("mode Filesystem"));
  request.set_volume_id("absent");
  EXPECT_EQ(controller_.ValidateVolumeCapabilities({}, request).status().code(),
            StatusCode::kNotFound);
}

TEST_F(ControllerTest, ModifyWritesAllOfTheAttributesAndAnswersWhenTheNodeHasThem) {
  CreateVolumeRequest create = Request();
  (*create.mutable_mutable_parameters())["readIops"] = "1k";
  (*create.mutable_mutable_parameters())["trim"] = "Never";
  ASSERT_TRUE(Create(create).ok());
  EXPECT_EQ(Object("pvc-1")->spec().limits().read_iops(), 1000);
  EXPECT_EQ(Object("pvc-1")->spec().trim(), "Never");
  csi::v1::ControllerModifyVolumeRequest request;
  request.set_volume_id("pvc-1");
  (*request.mutable_mutable_parameters())["writeBytesPerSecond"] = "10Mi";
  const auto modified = controller_.ModifyVolume({}, request);
  ASSERT_TRUE(modified.ok()) << modified.status();
  const Volume volume = *Object("pvc-1");
  EXPECT_FALSE(volume.spec().limits().has_read_iops());
  EXPECT_EQ(volume.spec().limits().write_bytes_per_second(), 10 * kMiB);
  EXPECT_EQ(volume.spec().trim(), "");
  EXPECT_EQ(volume.status().limits().write_bytes_per_second(), 10 * kMiB);
  EXPECT_TRUE(controller_.ModifyVolume({}, request).ok());
  EXPECT_EQ(Object("pvc-1")->metadata().generation(), volume.metadata().generation());
}

TEST_F(ControllerTest, ThePoolsBackendSaysWhatNobodyNamesAndWhatItCannotDo) {
  v1alpha1::Pool pool;
  pool.mutable_metadata()->set_name("folders");
  pool.mutable_spec()->set_backend("Directory");
  AddNode(pool, "n1", true, 1000 * kMiB, 1000 * kMiB);
  kube_.Put(api::Kind<v1alpha1::Pool>(), api::ToJson(pool));
  while (pool_informer_.Get({"", "folders"}) == nullptr) std::this_thread::yield();
  CreateVolumeRequest request = Request("folder");
  (*request.mutable_parameters())["pool"] = "folders";
  request.mutable_capacity_range()->set_required_bytes(2 * kMiB);
  ASSERT_TRUE(Create(request).ok());
  EXPECT_EQ(Object("folder")->spec().fs_type(), "") << "the node knows what the pool lies on";
  EXPECT_EQ(Object("folder")->spec().size(), 2 * kMiB) << "the least of ext4 is no matter";
  const auto refused = [](const absl::Status& status) {
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(status.message()), HasSubstr("pool folders has the backend Directory"));
  };
  csi::v1::ControllerModifyVolumeRequest modify;
  modify.set_volume_id("folder");
  (*modify.mutable_mutable_parameters())["writeIops"] = "5";
  refused(controller_.ModifyVolume({}, modify).status());
  EXPECT_FALSE(Object("folder")->spec().has_limits());
  request.set_name("limited");
  *request.mutable_mutable_parameters() = modify.mutable_parameters();
  refused(Create(request).status());
  EXPECT_EQ(Object("limited").status().code(), StatusCode::kNotFound);
  request.clear_mutable_parameters();
  (*request.mutable_mutable_parameters())["trim"] = "Daily";
  EXPECT_TRUE(Create(request).ok());
}

TEST_F(ControllerTest, ARepeatedCreateMayBringOtherAttributes) {
  ASSERT_TRUE(Create(Request()).ok());
  CreateVolumeRequest request = Request();
  (*request.mutable_mutable_parameters())["readIops"] = "5";
  ASSERT_TRUE(Create(request).ok());
  EXPECT_EQ(Object("pvc-1")->spec().limits().read_iops(), 5);
}

TEST_F(ControllerTest, ModifyWaitsUntilTheNodeHasTheAttributes) {
  ASSERT_TRUE(Create(Request()).ok());
  carver_.SetReason("-");
  csi::v1::ControllerModifyVolumeRequest request;
  request.set_volume_id("pvc-1");
  (*request.mutable_mutable_parameters())["readIops"] = "5";
  CallContext context;
  context.deadline = clock_.Now() + absl::Milliseconds(200);  // less than the margin
  const absl::Status late = controller_.ModifyVolume(context, request).status();
  EXPECT_EQ(late.code(), StatusCode::kDeadlineExceeded);
  EXPECT_THAT(std::string(late.message()), HasSubstr("pvc-1 is not modified yet"));
}

TEST_F(ControllerTest, ImpossibleModificationsAreRefusedAndChangeNothing) {
  ASSERT_TRUE(Create(Request()).ok());
  const int64_t generation = Object("pvc-1")->metadata().generation();
  csi::v1::ControllerModifyVolumeRequest request;
  EXPECT_EQ(controller_.ModifyVolume({}, request).status().code(), StatusCode::kInvalidArgument);
  request.set_volume_id("pvc-1");
  EXPECT_EQ(controller_.ModifyVolume({}, request).status().code(), StatusCode::kInvalidArgument);
  (*request.mutable_mutable_parameters())["readIops"] = "fast";
  EXPECT_EQ(controller_.ModifyVolume({}, request).status().code(), StatusCode::kInvalidArgument);
  (*request.mutable_mutable_parameters())["readIops"] = "1";
  request.set_volume_id("absent");
  EXPECT_EQ(controller_.ModifyVolume({}, request).status().code(), StatusCode::kNotFound);
  EXPECT_EQ(Object("pvc-1")->metadata().generation(), generation);
}

TEST_F(ControllerTest, TheHealthOfAVolumeIsToldOfOneAndOfAll) {
  ASSERT_TRUE(Create(Request()).ok());
  carver_.SetReason("-");
  Json object = *kube_.Get({}, api::Kind<Volume>(), {"", "pvc-1"});
  object["status"]["conditions"].push_back({{"type", "Healthy"},
                                            {"status", "False"},
                                            {"reason", "VolumeLost"},
                                            {"message", "nobody knows it"},
                                            {"lastTransitionTime", "2023-11-14T22:13:20Z"}});
  object = *kube_.Update({}, api::Kind<Volume>(), object, kube::Subresource::kStatus);
  csi::v1::ControllerGetVolumeRequest request;
  request.set_volume_id("pvc-1");
  const auto one = controller_.GetVolume({}, request);
  EXPECT_TRUE(GetVolumeCondition(one->status()).abnormal);
  EXPECT_EQ(GetVolumeCondition(one->status()).message, "VolumeLost: nobody knows it");
  const auto all = controller_.ListVolumes({}, {});
  ASSERT_EQ(all->entries_size(), 1);
  EXPECT_TRUE(GetVolumeCondition(all->entries(0).status()).abnormal) << "the cache has it too";
}

TEST_F(ControllerTest, TheNodeWhereAVolumeIsPublishedIsToldOfOneAndOfAll) {
  ASSERT_TRUE(Create(Request()).ok());
  Publications publications(volumes_, pool_informer_);
  const auto nodes = [&] {
    csi::v1::ControllerGetVolumeRequest request;
    request.set_volume_id("pvc-1");
    const auto one = controller_.GetVolume({}, request)->status().published_node_ids();
    const auto all = *controller_.ListVolumes({}, {});
    const auto& listed = all.entries(0).status().published_node_ids();
    EXPECT_EQ(std::vector<std::string>(one.begin(), one.end()),
              std::vector<std::string>(listed.begin(), listed.end()));
    return std::vector<std::string>(one.begin(), one.end());
  };
  EXPECT_THAT(nodes(), testing::IsEmpty());
  csi::v1::ControllerPublishVolumeRequest publish;
  publish.set_volume_id("pvc-1");
  publish.set_node_id("n1");
  *publish.mutable_volume_capability() = Request().volume_capabilities(0);
  ASSERT_TRUE(publications.Publish({}, publish).ok());
  EXPECT_THAT(nodes(), testing::ElementsAre("n1"));
  csi::v1::ControllerUnpublishVolumeRequest unpublish;
  unpublish.set_volume_id("pvc-1");
  unpublish.set_node_id("n2");
  ASSERT_TRUE(publications.Unpublish({}, unpublish).ok());
  EXPECT_THAT(nodes(), testing::ElementsAre("n1")) << "it was never on n2";
  unpublish.clear_node_id();
  ASSERT_TRUE(publications.Unpublish({}, unpublish).ok());
  EXPECT_THAT(nodes(), testing::IsEmpty());
  // Where Kubernetes attaches nothing, the agent's word counts.
  carver_.SetReason("-");
  Json object = *kube_.Get({}, api::Kind<Volume>(), {"", "pvc-1"});
  object["status"]["conditions"].push_back({{"type", "Published"},
                                            {"status", "True"},
                                            {"reason", "Published"},
                                            {"message", "at 1 path"},
                                            {"lastTransitionTime", "2023-11-14T22:13:20Z"}});
  ASSERT_TRUE(kube_.Update({}, api::Kind<Volume>(), object, kube::Subresource::kStatus).ok());
  while (nodes().empty()) std::this_thread::yield();
  EXPECT_THAT(nodes(), testing::ElementsAre("n1"));
}

TEST_F(ControllerTest, PagesNeitherMissNorRepeatWhenVolumesComeAndGo) {
  const std::string longest(120, 'b');
  for (const std::string& name : {std::string("a"), longest, std::string("c"), std::string("d")}) {
    ASSERT_TRUE(Create(Request(name)).ok());
  }
  csi::v1::ListVolumesRequest request;
  request.set_max_entries(2);
  const auto first = controller_.ListVolumes({}, request);
  request.set_starting_token(first->next_token());
  EXPECT_TRUE(CheckFieldSizes(request).ok());
  EXPECT_LE(first->next_token().size(), 128u) << "the limit of the specification";
  ASSERT_TRUE(Delete("a").ok());
  ASSERT_TRUE(Delete(longest).ok());  // which the token names
  ASSERT_TRUE(Create(Request("aa")).ok());
  const auto second = controller_.ListVolumes({}, request);
  ASSERT_EQ(second->entries_size(), 2);
  EXPECT_EQ(second->entries(0).volume().volume_id(), "c");
  EXPECT_EQ(second->entries(1).volume().volume_id(), "d");
}

TEST_F(ControllerTest, AZoneIsTheNodesThatHaveItsLabel) {
  kube_.Put(kube::kNode, {{"metadata", {{"name", "n2"}, {"labels", {{"zone", "a"}}}}}});
  CreateVolumeRequest request = Request();
  (*request.mutable_accessibility_requirements()->add_requisite()->mutable_segments())["zone"] =
      "a";
  const auto response = Create(request);
  ASSERT_TRUE(response.ok()) << response.status();
  EXPECT_EQ(NodeOf(response->volume().accessible_topology(0)), "n2");
  csi::v1::GetCapacityRequest capacity;
  (*capacity.mutable_accessible_topology()->mutable_segments())["zone"] = "a";
  EXPECT_EQ(controller_.GetCapacity({}, capacity)->available_capacity(), 3000 * kMiB);
  (*request.mutable_accessibility_requirements()
        ->mutable_requisite(0)
        ->mutable_segments())["zone"] = "b";
  request.set_name("pvc-2");
  EXPECT_EQ(Create(request).status().code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(Object("pvc-2").status().code(), StatusCode::kNotFound);
}

TEST_F(ControllerTest, GetVolumeAnswersWhatIsThere) {
  ASSERT_TRUE(Create(Request()).ok());
  csi::v1::ControllerGetVolumeRequest request;
  request.set_volume_id("pvc-1");
  EXPECT_EQ(controller_.GetVolume({}, request)->volume().capacity_bytes(), 100 * kMiB);
  EXPECT_FALSE(GetVolumeCondition(controller_.GetVolume({}, request)->status()).abnormal);
  request.set_volume_id("absent");
  EXPECT_EQ(controller_.GetVolume({}, request).status().code(), StatusCode::kNotFound);
}

}  // namespace
}  // namespace ashlar::csi_driver
