#include "node-agent/near/near_drives.h"

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "node-agent/storage/volume_facts.h"

namespace ashlar::node_agent {
namespace {

using absl::StatusCode;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

PodDevice Named(std::string owner, std::string name) {
  return {std::move(owner), std::move(name), "", "", ""};
}

TEST(FindGpus, KnowsThemByWhateverTheirOwnersCallThem) {
  constexpr char kLong[] = "GPU-7A1F03BC-91d2-4c3e-8b1a-0123456789ab";
  std::vector<v1alpha1::Gpu> gpus(3);
  gpus[2].set_uuid(kLong);
  gpus[0].set_uuid("GPU-a");
  gpus[0].set_minor(0);
  gpus[1].set_uuid("GPU-b");
  gpus[1].set_minor(12);
  gpus[1].mutable_mig()->add_instances()->add_devices()->set_uuid("MIG-1");
  const auto uuids = [&](std::string owner, std::string name) {
    return FindGpus({Named(std::move(owner), std::move(name))}, gpus).uuids;
  };
  EXPECT_THAT(uuids("nvidia.com/gpu", "GPU-a"), ElementsAre("GPU-a"));
  EXPECT_THAT(uuids("nvidia.com/gpu.shared", "GPU-b::3"), ElementsAre("GPU-b"));
  EXPECT_THAT(uuids("nvidia.com/mig-1g.10gb", "MIG-1"), ElementsAre("GPU-b"));
  EXPECT_THAT(uuids("nvidia.com/mig-1g.5gb", "MIG-GPU-a/7/0"), ElementsAre("GPU-a"));
  EXPECT_THAT(uuids("example.com/renamed", "GPU-a"), ElementsAre("GPU-a"));
  EXPECT_THAT(uuids("gpu.nvidia.com", "gpu-12"), ElementsAre("GPU-b"));
  EXPECT_THAT(uuids("gpu.nvidia.com", "gpu-12-mig-19-0-1"), ElementsAre("GPU-b"));
  EXPECT_THAT(uuids("gpu.ashlar.dev", "gpu-7a1f03bc-91d2"), ElementsAre(kLong));
  EXPECT_THAT(uuids("gpu.ashlar.dev", "mig-7a1f03bc-91d2-3g-40gb-4-4"), ElementsAre(kLong));
  EXPECT_THAT(uuids("gpu.ashlar.dev", "gpu-0"), IsEmpty()) << "NVIDIA's name";
  EXPECT_THAT(uuids("gpu.nvidia.com", "gpu-1"), IsEmpty()) << "not gpu-12";
  EXPECT_THAT(uuids("dra.example.com", "gpu-0"), IsEmpty()) << "somebody else's names";

  const PodGpus found =
      FindGpus({Named("nvidia.com/gpu", "GPU-a"), Named("gpu.nvidia.com", "gpu-0"),
                Named("rdma/hca", "mlx5_0"), Named("nvidia.com/gpu", "GPU-z"),
                Named("gpu.nvidia.com", "gpu-9")},
               gpus);
  EXPECT_THAT(found.uuids, ElementsAre("GPU-a"));
  EXPECT_THAT(found.unknown, ElementsAre("nvidia.com/gpu GPU-z", "gpu.nvidia.com gpu-9"));
}

class FakePodDevices final : public PodDevices {
 public:
  absl::StatusOr<std::vector<PodDevice>> Find(const CallContext&, const PodId& pod) override {
    EXPECT_EQ(pod.name_space + "/" + pod.name + " " + pod.uid, "ml/trainer uid-1");
    ++questions;
    return devices;
  }
  int questions = 0;
  absl::StatusOr<std::vector<PodDevice>> devices{
      std::vector<PodDevice>{Named("nvidia.com/gpu", "GPU-a")}};
};

// GPU-a: beside is behind its switch, root, numa and far are what their names say; sda is no NVMe
// drive. GPU-b: beside is only in the same system, numa behind its switch.
class NearDrivesTest : public testing::Test {
 protected:
  NearDrivesTest() {
    claims_.devices = std::vector<PodDevice>();
    for (const char* uuid : {"GPU-a", "GPU-b"}) facts_.gpus.emplace_back().set_uuid(uuid);
    AddPath("GPU-a", "beside", "Switch");
    AddPath("GPU-a", "root", "Root");
    AddPath("GPU-a", "numa", "NUMANode");
    AddPath("GPU-a", "far", "System");
    AddPath("GPU-b", "numa", "Switch");
    AddPath("GPU-b", "beside", "System");
    for (const char* id : {"beside", "root", "numa", "far", "sda"}) SetRoom(id, 100 * kMiB);
  }
  void AddPath(const char* gpu, const char* drive, const char* level) {
    v1alpha1::GpuDrivePath& path = facts_.paths.emplace_back();
    path.set_gpu(gpu);
    path.set_drive(drive);
    path.set_level(level);
    Drive known;
    known.id = drive;
    known.serial = absl::StrCat("serial-of-", drive);
    facts_.drives.push_back(known);
  }
  void SetRoom(const std::string& id, int64_t bytes) {
    std::erase_if(usage_.drives, [&](const DriveUsage& drive) { return drive.id == id; });
    usage_.drives.push_back({id, 100 * kMiB, 100 * kMiB - bytes, bytes, bytes});
  }
  absl::StatusOr<NearPlan> Plan(const char* level, bool required) {
    return near_.Plan({}, usage_, 50 * kMiB, {{"ml", "trainer", "uid-1"}, level, required});
  }
  // Ids with levels.
  std::vector<std::string> Planned(const char* level, bool required) {
    std::vector<std::string> text;
    const auto plan = Plan(level, required);
    EXPECT_TRUE(plan.ok()) << plan.status();
    if (!plan.ok()) return text;
    for (const NearDrive& drive : plan->drives)
      text.push_back(absl::StrCat(drive.id, " ", LevelName(drive.level)));
    EXPECT_EQ(plan->anywhere, !required);
    return text;
  }
  std::string Refused(const char* level, StatusCode code = StatusCode::kFailedPrecondition) {
    const absl::Status status = Plan(level, true).status();
    EXPECT_EQ(status.code(), code) << status;
    return std::string(status.message());
  }

  NearFacts facts_;
  PoolUsage usage_;
  FakePodDevices pods_, claims_;
  NearDrives near_{pods_, claims_, [this] { return facts_; }};
};

TEST_F(NearDrivesTest, TriesTheNearestDriveFirstAndOnlyThoseWithRoom) {
  EXPECT_THAT(Planned("Switch", false), ElementsAre("beside Switch", "root Root", "numa NUMANode",
                                                    "far System", "sda System"));
  EXPECT_THAT(Planned("Root", true), ElementsAre("beside Switch", "root Root"));
  SetRoom("beside", 49 * kMiB);
  EXPECT_THAT(Planned("Root", true), ElementsAre("root Root"));
  SetRoom("root", 0);
  EXPECT_THAT(Planned("NUMANode", true), ElementsAre("numa NUMANode"));
  EXPECT_THAT(Planned("Switch", false), ElementsAre("numa NUMANode", "far System", "sda System"));
}

TEST_F(NearDrivesTest, OfDrivesThatAreEquallyNearTheOneWithMoreRoomComesFirst) {
  AddPath("GPU-a", "other", "Switch");
  SetRoom("other", 150 * kMiB);
  EXPECT_THAT(Planned("Switch", true), ElementsAre("other Switch", "beside Switch"));
}

TEST_F(NearDrivesTest, ARefusalNamesTheNearestLevelAndWhyNearerDrivesAreNot) {
  SetRoom("beside", 49 * kMiB);
  EXPECT_EQ(Refused("Switch"),
            "a drive within level Switch of GPU-a is required: the nearest drive with room for "
            "52428800 bytes is root at level Root; of nearer ones beside (Switch) has room for "
            "51380224");
  for (const char* id : {"root", "numa", "far", "sda"}) SetRoom(id, 0);
  EXPECT_THAT(Refused("NUMANode"), HasSubstr("no drive of the pool has room for 52428800 bytes; of "
                                             "nearer ones beside (Switch) has room for 51380224, "
                                             "root (Root) has room for 0"));
  usage_.drives.clear();
  SetRoom("far", 100 * kMiB);
  EXPECT_THAT(Refused("Root"), HasSubstr("is far at level System; the pool has no drive within "
                                         "level Root"));
}

TEST_F(NearDrivesTest, TheFarthestOfSeveralGpusCounts) {
  pods_.devices =
      std::vector<PodDevice>{Named("nvidia.com/gpu", "GPU-a"), Named("nvidia.com/gpu", "GPU-b")};
  EXPECT_EQ(Planned("Switch", false).front(), "numa NUMANode");
  EXPECT_THAT(Refused("Root"), HasSubstr("of GPU-a, GPU-b is required"));
}

TEST_F(NearDrivesTest, ADriveMayBeCalledByItsSerial) {
  usage_.drives.clear();
  SetRoom("serial-of-root", 100 * kMiB);
  EXPECT_THAT(Planned("Root", true), ElementsAre("serial-of-root Root"));
}

TEST_F(NearDrivesTest, WithoutKnownGpusOnlyAWishIsGranted) {
  const auto anywhere = [&](const char* why) {
    const auto plan = Plan("Switch", false);
    ASSERT_TRUE(plan.ok()) << plan.status();
    EXPECT_TRUE(plan->anywhere);
    EXPECT_THAT(plan->drives, IsEmpty());
    EXPECT_THAT(plan->why, HasSubstr(why));
  };
  pods_.devices = absl::UnavailableError("the kubelet hangs");
  EXPECT_THAT(Refused("Switch", StatusCode::kUnavailable), HasSubstr("the kubelet hangs"));
  anywhere("the kubelet hangs");
  pods_.devices = std::vector<PodDevice>{Named("rdma/hca", "mlx5_0")};
  EXPECT_THAT(Refused("Switch"), HasSubstr("pod ml/trainer has no GPU: neither a device plugin"));
  anywhere("has no GPU");
  pods_.devices = std::vector<PodDevice>{Named("nvidia.com/gpu", "GPU-z")};
  EXPECT_THAT(Refused("Switch"), HasSubstr("does not know: nvidia.com/gpu GPU-z"));
  anywhere("GPU-z");
  pods_.devices = std::vector<PodDevice>{Named("nvidia.com/gpu", "GPU-a")};
  usage_.drives.clear();
  EXPECT_THAT(Refused("Switch"), HasSubstr("lie on no one drive"));
  anywhere("lie on no one drive");
}

TEST(FindGpus, BelievesWhatADriverPublishesBeforeItsNames) {
  std::vector<v1alpha1::Gpu> gpus(2);
  gpus[0].set_uuid("GPU-a");
  gpus[0].set_minor(0);
  gpus[0].set_pci_address("0000:1b:00.0");
  gpus[1].set_uuid("GPU-b");
  gpus[1].set_minor(1);
  const auto found = [&](PodDevice device) { return FindGpus({std::move(device)}, gpus); };
  EXPECT_THAT(found({"gpu.nvidia.com", "gpu-0", "GPU-b", "", ""}).uuids, ElementsAre("GPU-b"));
  // A part that is not made yet.
  EXPECT_THAT(found({"gpu.nvidia.com", "gpu-0-mig-9", "MIG-new", "GPU-b", ""}).uuids,
              ElementsAre("GPU-b"));
  EXPECT_THAT(found({"gpu.example.com", "a", "", "", "0000:1B:00.0"}).uuids, ElementsAre("GPU-a"));
  EXPECT_THAT(found({"gpu.nvidia.com", "gpu-0", "GPU-z", "", ""}).unknown,
              ElementsAre("gpu.nvidia.com gpu-0"))
      << "the GPU of another node";
}

TEST_F(NearDrivesTest, ClaimsAreAskedForOnlyWhereTheKubeletShowsNoGpu) {
  claims_.devices = std::vector<PodDevice>{{"gpu.nvidia.com", "gpu-1", "GPU-b", "", ""}};
  EXPECT_EQ(Planned("Switch", true).front(), "beside Switch");
  EXPECT_EQ(claims_.questions, 0);
  pods_.devices = std::vector<PodDevice>{Named("rdma/hca", "mlx5_0")};
  EXPECT_THAT(Planned("Switch", true), ElementsAre("numa Switch"));
  pods_.devices = absl::UnavailableError("the kubelet hangs");
  EXPECT_THAT(Planned("Switch", true), ElementsAre("numa Switch"));
  claims_.devices = absl::UnavailableError("the controller is away");
  EXPECT_EQ(Refused("Switch", StatusCode::kUnavailable),
            "the kubelet hangs; the controller is away");
  pods_.devices = std::vector<PodDevice>();
  EXPECT_EQ(Refused("Switch", StatusCode::kUnavailable), "the controller is away");
}

}  // namespace
}  // namespace ashlar::node_agent
