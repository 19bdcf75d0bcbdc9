// Volumes near the GPUs of pods, through the whole controller.
#include "ashlar/k8s/resource.codec.h"
#include "controller/testing/controller_lab.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/base/clock.h"

namespace ashlar::controller {
namespace {

using ::testing::ElementsAre;

const api::KindInfo& kClaim() { return api::Kind<k8s::ResourceClaim>(); }
const api::KindInfo& kSlice() { return api::Kind<k8s::ResourceSlice>(); }
const api::KindInfo& kVolume() { return api::Kind<v1alpha1::Volume>(); }

class NearAppTest : public testing::Test {
 protected:
  void SetUp() override {
    n1_ = lab_.AddNode("n1", 100 * kGi);
    for (const char* uuid : {"GPU-a", "GPU-b"}) {
      v1alpha1::Gpu gpu;
      gpu.set_uuid(uuid);
      n1_->AddGpu(gpu);
    }
    agent::v1::Drive drive;
    drive.set_id("nvme-1");
    drive.set_serial("S1");
    n1_->AddDrive(drive);
    AddPath("GPU-a", "Switch");
    AddPath("GPU-b", "NUMANode");
    lab_.Start();
    lab_.MakePool("fast");
  }
  void AddPath(const char* gpu, const char* level) {
    v1alpha1::GpuDrivePath path;
    path.set_gpu(gpu);
    path.set_drive("nvme-1");
    path.set_level(level);
    n1_->AddPath(path);
  }
  // As NVIDIA's driver publishes its GPUs.
  void PublishSlice(const std::string& node, const std::string& device, const std::string& uuid) {
    const auto made = lab_.server.Create(
        {}, kSlice(),
        {{"apiVersion", "resource.k8s.io/v1"},
         {"kind", "ResourceSlice"},
         {"metadata", {{"name", node + "-gpu.nvidia.com-" + device}}},
         {"spec",
          {{"driver", "gpu.nvidia.com"},
           {"nodeName", node},
           {"pool", {{"name", node}, {"generation", 1}, {"resourceSliceCount", 1}}},
           {"devices",
            Json::array({{{"name", device}, {"attributes", {{"uuid", {{"string", uuid}}}}}}})}}}});
    ASSERT_TRUE(made.ok()) << made.status();
  }
  // As the scheduler gives a GPU to a pod.
  void Allocate(const std::string& name, const std::string& pod_uid, const std::string& node,
                const std::string& device) {
    auto made = lab_.server.Create({}, kClaim(),
                                   {{"apiVersion", "resource.k8s.io/v1"},
                                    {"kind", "ResourceClaim"},
                                    {"metadata", {{"name", name}, {"namespace", "ml"}}},
                                    {"spec", Json::object()}});
    ASSERT_TRUE(made.ok()) << made.status();
    (*made)["status"] = {
        {"reservedFor", Json::array({{{"resource", "pods"}, {"name", "p"}, {"uid", pod_uid}}})},
        {"allocation",
         {{"devices",
           {{"results", Json::array({{{"request", "gpu"},
                                      {"driver", "gpu.nvidia.com"},
                                      {"pool", node},
                                      {"device", device}}})}}}}}};
    const auto written = lab_.server.Update({}, kClaim(), *made, kube::Subresource::kStatus);
    ASSERT_TRUE(written.ok()) << written.status();
  }
  agent::v1::VolumeState InlineVolume(std::vector<std::string> gpus) {
    agent::v1::VolumeState volume;
    volume.set_volume_id("csi-1");
    volume.set_pool("fast");
    volume.set_size_bytes(kGi);
    volume.set_fs_type("ext4");
    volume.set_drive("S1");
    volume.set_healthy(true);
    volume.set_publications(1);
    volume.set_inline_volume(true);
    volume.mutable_locality()->mutable_gpus()->Assign(gpus.begin(), gpus.end());
    volume.mutable_locality()->set_level("Switch");
    volume.mutable_locality()->set_pod_namespace("ml");
    volume.mutable_locality()->set_pod_name("trainer");
    return volume;
  }
  // As soon as the object tells of the level.
  v1alpha1::Volume AwaitLevel(const std::string& name, const std::string& level) {
    const Json object = lab_.Await(kVolume(), name, [&](const Json* now) {
      return now != nullptr && JsonString(*now, {"status", "locality", "level"}) == level;
    });
    return *api::FromJson<v1alpha1::Volume>(object);
  }

  RealClock clock_;
  ControllerLab lab_{clock_};
  std::shared_ptr<FakeAgent> n1_;
};

TEST_F(NearAppTest, AnAgentIsToldWhatClaimsGaveToAPodOfItsNode) {
  PublishSlice("n1", "gpu-0", "GPU-a");
  PublishSlice("n2", "gpu-0", "GPU-elsewhere");
  Allocate("mine", "uid-1", "n1", "gpu-0");
  Allocate("other", "uid-2", "n1", "gpu-1");
  Allocate("away", "uid-3", "n2", "gpu-0");
  const agent::v1::PodAnswer answer = n1_->Ask("ml", "uid-1");
  ASSERT_EQ(answer.devices_size(), 1) << answer.DebugString();
  EXPECT_EQ(answer.devices(0).driver(), "gpu.nvidia.com");
  EXPECT_EQ(answer.devices(0).device(), "gpu-0");
  EXPECT_EQ(n1_->Ask("elsewhere", "uid-1").devices_size(), 0) << "of another namespace";
  EXPECT_EQ(n1_->Ask("ml", "uid-3").devices_size(), 0) << "the secrets of another node";
  EXPECT_EQ(n1_->Ask("ml", "uid-9").devices_size(), 0) << "a pod without claims";
  // No slice is known: the name is all there is.
  const agent::v1::PodAnswer named = n1_->Ask("ml", "uid-2");
  ASSERT_EQ(named.devices_size(), 1);
  EXPECT_EQ(named.devices(0).device(), "gpu-1");
  EXPECT_EQ(named.devices(0).uuid(), "");
}

TEST_F(NearAppTest, AnAnswerThatDoesNotArriveIsRepeated) {
  n1_->FailNext("AnswerPodQuestion", absl::UnavailableError("reset"), 2);
  Allocate("mine", "uid-1", "n1", "gpu-0");
  EXPECT_EQ(n1_->Ask("ml", "uid-1").devices_size(), 1);
}

TEST_F(NearAppTest, AnInlineVolumeNearGpusIsToldOfAsLongAsItIsThere) {
  n1_->AddVolume("csi-0", "fast", kGi, true);
  n1_->PutVolume(InlineVolume({"GPU-a"}));
  const v1alpha1::Volume volume = AwaitLevel("csi-1", "Switch");
  EXPECT_EQ(volume.spec().pod().name(), "trainer");
  EXPECT_EQ(volume.spec().pod().namespace_(), "ml");
  EXPECT_EQ(volume.spec().node_name(), "n1");
  EXPECT_EQ(volume.status().size(), kGi);
  EXPECT_EQ(volume.status().locality().drive(), "S1");
  EXPECT_THAT(volume.status().locality().gpus(), ElementsAre("GPU-a"));
  EXPECT_GT(volume.status().locality().since().seconds(), 0);
  EXPECT_TRUE(volume.metadata().finalizers().empty());
  lab_.AwaitCondition(kVolume(), "csi-1", "Published", "True", "Published");
  // All that was told of it is heard when what came after it on another node is: from here on only
  // its own end can bring it back.
  const std::shared_ptr<FakeAgent> n2 = lab_.AddNode("n2", 100 * kGi);
  agent::v1::VolumeState later = InlineVolume({"GPU-a"});
  later.set_volume_id("csi-2");
  n2->PutVolume(later);
  lab_.AwaitCondition(kVolume(), "csi-2", "Published", "True", "Published");
  // Deleted by hand, it is told of again: it is the pod's.
  lab_.Delete(kVolume(), "csi-1");
  lab_.Await(kVolume(), "csi-1", [&](const Json* now) {
    return now != nullptr && JsonString(*now, {"metadata", "uid"}) != volume.metadata().uid();
  });
  EXPECT_EQ(n1_->Calls("RemoveVolume"), 0);
  EXPECT_EQ(n1_->Calls("EnsureVolume"), 0);
  n1_->Lose("csi-1");
  lab_.AwaitGone(kVolume(), "csi-1");
  EXPECT_FALSE(lab_.server.Get({}, kVolume(), {"", "csi-0"}).ok()) << "near no GPU";
}

TEST_F(NearAppTest, TheFarthestGpuCountsAndWhatDidNotChangeKeepsItsTime) {
  n1_->PutVolume(InlineVolume({"GPU-a", "GPU-b"}));
  const int64_t since = AwaitLevel("csi-1", "NUMANode").status().locality().since().seconds();
  agent::v1::VolumeState unused = InlineVolume({"GPU-a", "GPU-b"});
  unused.set_publications(0);
  n1_->PutVolume(unused);
  lab_.AwaitCondition(kVolume(), "csi-1", "Published", "False", "NotPublished");
  EXPECT_EQ(AwaitLevel("csi-1", "NUMANode").status().locality().since().seconds(), since);
}

TEST_F(NearAppTest, AVolumeOfAClaimIsToldOfItsGpus) {
  n1_->SetPoolDrives({{"S1", 100 * kGi}});
  lab_.MakeVolume("v", "1Gi",
                  {{"drive", "S1"}, {"nodeName", "n1"}, {"near", {{"gpus", {"GPU-b"}}}}});
  EXPECT_EQ(AwaitLevel("v", "NUMANode").status().locality().drive(), "S1");
  lab_.MakeVolume("far", "1Gi", {{"drive", "S1"}, {"nodeName", "n1"}});
  EXPECT_FALSE(lab_.AwaitCarved("far").status().has_locality());
}

}  // namespace
}  // namespace ashlar::controller
