#include "node-agent/claims/claims.h"

#include <filesystem>
#include <fstream>
#include <thread>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/base/testing/simulated_clock.h"
#include "lib/system/files.h"
#include "node-agent/testing/claim_stack.h"

namespace ashlar::node_agent {
namespace {

using absl::StatusCode;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr absl::Duration kPatience = absl::Seconds(20);

class ClaimsTest : public testing::Test {
 protected:
  ClaimFacts Facts(std::vector<ClaimDevice> devices, const std::string& uid = "u-1") {
    return {uid, "space", "name", std::move(devices)};
  }
  absl::Status Tell(std::vector<ClaimDevice> devices, const std::string& uid = "u-1") {
    return stack_.claims->Ensure({}, Facts(std::move(devices), uid)).status();
  }
  absl::StatusOr<std::vector<ClaimDeviceStatus>> Prepare(const std::string& uid = "u-1",
                                                         const std::string& driver = kNvmeDriver) {
    return stack_.claims->Prepare({}, driver, uid, clock_.Now() + kPatience);
  }
  absl::Status Unprepare(const std::string& uid = "u-1", const std::string& driver = kNvmeDriver) {
    return stack_.claims->Unprepare({}, driver, uid, clock_.Now() + kPatience);
  }
  Json FileOf(const std::string& driver, const std::string& uid = "u-1") {
    const auto text = sys::ReadFile(stack_.CdiFile(driver, uid));
    EXPECT_TRUE(text.ok()) << text.status();
    return text.ok() ? *ParseJson(*text) : Json();
  }
  std::string Shown(const std::string& place) { return stack_.root() + "/shown/" + place; }
  // Of the only device of the only claim.
  std::string Problem() {
    const auto list = stack_.claims->List();
    EXPECT_EQ(list.size(), 1u);
    return list.empty() ? "" : list[0].devices.at(0).problem;
  }

  SimulatedClock clock_;
  ClaimStack stack_{clock_};
};

TEST_F(ClaimsTest, FileTellsTheRuntimeWhereVolumesAreAndNothingIsLeftAfterwards) {
  stack_.Carve("v");
  stack_.Carve("b", VolumeMode::kBlock);
  ASSERT_EQ(Tell({VolumeDevice("my-data/large", "v", "/scratch"),
                  VolumeDevice("raw", "b", "/dev/scratch")}),
            absl::OkStatus());
  stack_.ExpectNothing();
  const auto prepared = Prepare();
  ASSERT_TRUE(prepared.ok()) << prepared.status();
  EXPECT_THAT(prepared->at(0).cdi_devices, ElementsAre("nvme.ashlar.dev/claim=u-1-0"));
  EXPECT_THAT(prepared->at(1).cdi_devices, ElementsAre("nvme.ashlar.dev/claim=u-1-1"));
  const Json expected{{"cdiVersion", "0.5.0"},
                      {"kind", "nvme.ashlar.dev/claim"},
                      {"devices",
                       {{{"name", "u-1-0"},
                         {"containerEdits",
                          {{"env", {"ASHLAR_VOLUME_MY_DATA=/scratch"}},
                           {"mounts",
                            {{{"hostPath", Shown("u-1-0")},
                              {"containerPath", "/scratch"},
                              {"options", {"rbind", "rslave", "rw"}}}}}}}},
                        {{"name", "u-1-1"},
                         {"containerEdits",
                          {{"env", {"ASHLAR_VOLUME_RAW=/dev/scratch"}},
                           {"deviceNodes",
                            {{{"path", "/dev/scratch"},
                              {"hostPath", Shown("u-1-1")},
                              {"permissions", "rw"}}}}}}}}}};
  EXPECT_EQ(FileOf(kNvmeDriver), expected) << FileOf(kNvmeDriver).dump(1);
  EXPECT_TRUE(stack_.Shows("u-1-0"));
  EXPECT_TRUE(stack_.Shows("u-1-1"));
  ASSERT_EQ(Unprepare(), absl::OkStatus());
  stack_.ExpectNothing();
  EXPECT_EQ(stack_.claims->Remove({}, "u-1"), absl::OkStatus());
  EXPECT_TRUE(std::filesystem::is_empty(stack_.temporary.path() + "/records"));
}

TEST_F(ClaimsTest, ContainerGetsTheNodesThatThereAreOfItsGpusAndTheirNames) {
  ASSERT_EQ(Tell({GpuDevice("gpu", "GPU-a")}), absl::OkStatus());
  const auto prepared = Prepare("u-1", kGpuDriver);
  ASSERT_TRUE(prepared.ok()) << prepared.status();
  const Json edits = FileOf(kGpuDriver)["devices"][0]["containerEdits"];
  EXPECT_EQ(edits["env"], Json::array({"NVIDIA_VISIBLE_DEVICES=GPU-a"}));
  // What several claims have in common in one container.
  EXPECT_EQ(edits["mounts"],
            Json::array({{{"hostPath", "/dev/null"},
                          {"containerPath", "/var/run/nvidia-container-devices/GPU-a"},
                          {"options", {"rbind", "rslave", "ro"}}}}));
  std::vector<std::string> nodes;
  for (const Json& node : edits["deviceNodes"]) nodes.push_back(node["path"]);
  EXPECT_THAT(nodes, ElementsAre("/dev/nvidia0", "/dev/nvidiactl", "/dev/nvidia-uvm"));
  EXPECT_EQ(Unprepare("u-1", kGpuDriver), absl::OkStatus());
  stack_.ExpectNothing();
}

TEST_F(ClaimsTest, VariableOfARequestNamesAllThatItGot) {
  stack_.Carve("v");
  stack_.Carve("w");
  stack_.Carve("x");
  ASSERT_EQ(Tell({VolumeDevice("data", "v", "/a"), VolumeDevice("data", "w", "/b"),
                  VolumeDevice("other", "x", "/c")}),
            absl::OkStatus());
  ASSERT_TRUE(Prepare().ok());
  const Json devices = FileOf(kNvmeDriver)["devices"];
  EXPECT_EQ(devices[0]["containerEdits"]["env"][0], "ASHLAR_VOLUME_DATA=/a:/b");
  EXPECT_EQ(devices[1]["containerEdits"]["env"][0], "ASHLAR_VOLUME_DATA=/a:/b");
  EXPECT_EQ(devices[2]["containerEdits"]["env"][0], "ASHLAR_VOLUME_OTHER=/c");
}

TEST_F(ClaimsTest, PreparingWaitsForWhatIsToldLate) {
  stack_.Carve("v");
  absl::Status prepared = absl::UnknownError("");
  std::jthread kubelet([&] { prepared = Prepare().status(); });
  clock_.AwaitWaiters(1);
  ASSERT_EQ(Tell({VolumeDevice("data", "v", "/data")}), absl::OkStatus());
  kubelet.join();
  EXPECT_EQ(prepared, absl::OkStatus());
}

TEST_F(ClaimsTest, ClaimThatIsNeverToldIsRefusedInTime) {
  absl::Status prepared;
  std::jthread kubelet([&] { prepared = Prepare().status(); });
  clock_.AwaitWaiters(1);
  clock_.Advance(kPatience);
  kubelet.join();
  EXPECT_EQ(prepared.code(), StatusCode::kUnavailable);
  EXPECT_THAT(std::string(prepared.message()), HasSubstr("has not told this node what claim u-1"));
  EXPECT_EQ(Unprepare(), absl::OkStatus()) << "nothing to take back is fine";
}

TEST_F(ClaimsTest, PreparingEndsWithItsCaller) {
  std::stop_source caller;
  absl::Status prepared;
  std::jthread kubelet([&] {
    prepared =
        stack_.claims
            ->Prepare({.stop = caller.get_token()}, kNvmeDriver, "u-1", absl::InfiniteFuture())
            .status();
  });
  clock_.AwaitWaiters(1);
  caller.request_stop();
  kubelet.join();
  EXPECT_EQ(prepared.code(), StatusCode::kCancelled);
}

TEST_F(ClaimsTest, NextAgentKnowsWhatIsPreparedAndTakesItBack) {
  stack_.Carve("v");
  ASSERT_EQ(Tell({VolumeDevice("data", "v", "/data")}), absl::OkStatus());
  ASSERT_TRUE(Prepare().ok());
  const auto before = stack_.claims->List();
  stack_.Start("boot-1");
  EXPECT_EQ(stack_.claims->List(), before);
  EXPECT_TRUE(std::filesystem::exists(stack_.CdiFile(kNvmeDriver, "u-1")));
  EXPECT_TRUE(stack_.Shows("u-1-0"));
  ASSERT_TRUE(Prepare().ok()) << "a kubelet that was restarted asks again";
  ASSERT_EQ(Unprepare(), absl::OkStatus());
  stack_.ExpectNothing();
}

TEST_F(ClaimsTest, NothingIsPreparedAfterAReboot) {
  stack_.Carve("v");
  ASSERT_EQ(Tell({VolumeDevice("data", "v", "/data")}), absl::OkStatus());
  ASSERT_TRUE(Prepare().ok());
  stack_.kernel = std::make_unique<FakeKernel>();
  stack_.Start("boot-2");
  stack_.ExpectNothing();
  EXPECT_FALSE(stack_.claims->List().at(0).prepared);
  ASSERT_TRUE(Prepare().ok());
  EXPECT_TRUE(stack_.Shows("u-1-0"));
}

TEST_F(ClaimsTest, DevicesOfOneDriverAreNoneOfTheOther) {
  stack_.Carve("v");
  ASSERT_EQ(Tell({VolumeDevice("data", "v", "/data"), GpuDevice("gpu", "GPU-a")}),
            absl::OkStatus());
  const auto gpu = Prepare("u-1", kGpuDriver);
  ASSERT_TRUE(gpu.ok()) << gpu.status();
  ASSERT_EQ(gpu->size(), 1u);
  EXPECT_FALSE(stack_.Shows("u-1-0"));
  ASSERT_TRUE(Prepare().ok());
  ASSERT_EQ(Unprepare("u-1", kGpuDriver), absl::OkStatus());
  EXPECT_TRUE(stack_.Shows("u-1-0"));
  EXPECT_FALSE(std::filesystem::exists(stack_.CdiFile(kGpuDriver, "u-1")));
  EXPECT_EQ(Prepare("u-1", "other.example").status().code(), StatusCode::kFailedPrecondition);
}

TEST_F(ClaimsTest, VolumeOfTwoClaimsStaysWithTheOther) {
  stack_.Carve("v");
  ASSERT_EQ(Tell({VolumeDevice("data", "v", "/data")}, "u-1"), absl::OkStatus());
  ASSERT_EQ(Tell({VolumeDevice("data", "v", "/data", true)}, "u-2"), absl::OkStatus());
  ASSERT_TRUE(Prepare("u-1").ok());
  ASSERT_TRUE(Prepare("u-2").ok());
  ASSERT_EQ(Unprepare("u-1"), absl::OkStatus());
  EXPECT_FALSE(stack_.Shows("u-1-0"));
  EXPECT_TRUE(stack_.Shows("u-2-0"));
  ASSERT_EQ(Unprepare("u-2"), absl::OkStatus());
  stack_.ExpectNothing();
}

TEST_F(ClaimsTest, PreparedClaimIsNeitherChangedNorForgotten) {
  stack_.Carve("v");
  stack_.Carve("w");
  ASSERT_EQ(Tell({VolumeDevice("data", "v", "/data")}), absl::OkStatus());
  ASSERT_EQ(Tell({VolumeDevice("data", "w", "/data")}), absl::OkStatus()) << "not yet prepared";
  ASSERT_TRUE(Prepare().ok());
  EXPECT_EQ(Tell({VolumeDevice("data", "w", "/data")}), absl::OkStatus()) << "the same";
  EXPECT_EQ(Tell({VolumeDevice("data", "v", "/data")}).code(), StatusCode::kAlreadyExists);
  EXPECT_EQ(stack_.claims->Remove({}, "u-1").code(), StatusCode::kFailedPrecondition);
  EXPECT_TRUE(stack_.Shows("u-1-0"));
  ASSERT_EQ(Unprepare(), absl::OkStatus());
  EXPECT_EQ(stack_.claims->Remove({}, "u-1"), absl::OkStatus());
  EXPECT_EQ(stack_.claims->Remove({}, "u-1"), absl::OkStatus());
  EXPECT_TRUE(stack_.claims->List().empty());
}

TEST_F(ClaimsTest, WhatAFailedPreparingMadeGoesWithTheClaim) {
  stack_.Carve("v");
  ASSERT_EQ(Tell({VolumeDevice("data", "v", "/a"), VolumeDevice("more", "absent", "/b")}),
            absl::OkStatus());
  const absl::Status failed = Prepare().status();
  EXPECT_EQ(failed.code(), StatusCode::kNotFound);
  EXPECT_THAT(std::string(failed.message()), HasSubstr("more"));
  EXPECT_FALSE(std::filesystem::exists(stack_.CdiFile(kNvmeDriver, "u-1")));
  EXPECT_EQ(stack_.claims->Remove({}, "u-1"), absl::OkStatus());
  stack_.ExpectNothing();
}

TEST_F(ClaimsTest, WhyPreparingFailedIsToldUntilItSucceeds) {
  stack_.Carve("v");
  ASSERT_EQ(Tell({VolumeDevice("data", "v", "/data")}), absl::OkStatus());
  stack_.kernel->failures().FailNext("MountDevice", absl::InternalError("the kernel is cross"));
  EXPECT_FALSE(Prepare().ok());
  EXPECT_THAT(Problem(), HasSubstr("the kernel is cross"));
  EXPECT_TRUE(Prepare().ok());
  EXPECT_EQ(Problem(), "");
}

TEST_F(ClaimsTest, RefusedUnmountIsRepeatedByTheNextAgent) {
  stack_.Carve("v");
  ASSERT_EQ(Tell({VolumeDevice("data", "v", "/data")}), absl::OkStatus());
  ASSERT_TRUE(Prepare().ok());
  stack_.kernel->failures().FailNext("Unmount", absl::FailedPreconditionError("busy"));
  EXPECT_EQ(Unprepare().code(), StatusCode::kFailedPrecondition);
  EXPECT_TRUE(stack_.claims->List().at(0).prepared);
  stack_.Start("boot-1");
  stack_.ExpectNothing();
  EXPECT_FALSE(stack_.claims->List().at(0).prepared);
}

TEST_F(ClaimsTest, WhatIsOfNoClaimIsTakenAwayAtStart) {
  stack_.Carve("v");
  stack_.Carve("w");
  ASSERT_EQ(Tell({VolumeDevice("data", "v", "/data")}, "u-1"), absl::OkStatus());
  ASSERT_EQ(Tell({VolumeDevice("data", "w", "/data")}, "u-2"), absl::OkStatus());
  ASSERT_TRUE(Prepare("u-1").ok());
  ASSERT_TRUE(Prepare("u-2").ok());
  const std::string foreign = stack_.temporary.path() + "/cdi/nvidia.com-gpu.json";
  std::ofstream(foreign) << "{}";
  std::ofstream(stack_.CdiFile(kNvmeDriver, "u-2") + ".new") << "half";
  std::filesystem::remove(stack_.temporary.path() + "/records/u-1.json");
  stack_.Start("boot-1");
  EXPECT_FALSE(std::filesystem::exists(stack_.CdiFile(kNvmeDriver, "u-1")));
  EXPECT_FALSE(std::filesystem::exists(stack_.CdiFile(kNvmeDriver, "u-2") + ".new"));
  EXPECT_TRUE(std::filesystem::exists(stack_.CdiFile(kNvmeDriver, "u-2")));
  EXPECT_TRUE(std::filesystem::exists(foreign));
  EXPECT_FALSE(stack_.Shows("u-1-0"));
  EXPECT_TRUE(stack_.Shows("u-2-0"));
  EXPECT_FALSE(stack_.volumes->Find("v")->staged);
  EXPECT_TRUE(stack_.volumes->Find("w")->staged);
}

TEST_F(ClaimsTest, TroubleOfAVolumeAndOfAGpuIsToldWhileItLasts) {
  stack_.Carve("v");
  ASSERT_EQ(Tell({VolumeDevice("data", "v", "/data")}), absl::OkStatus());
  ASSERT_TRUE(Prepare().ok());
  EXPECT_EQ(Problem(), "");
  stack_.kernel->Stain(stack_.root() + "/staged/v");
  stack_.volumes->HealStaged({});
  EXPECT_THAT(Problem(), HasSubstr("volume v: FilesystemReadOnly"));

  GpuReport report = *stack_.gpus;
  EXPECT_EQ(GpuProblem(report, "GPU-a"), "");
  EXPECT_THAT(GpuProblem(report, "GPU-b"), HasSubstr("not on this node"));
  report.gpus[0].mutable_health()->set_recovery_action("Reset");
  EXPECT_THAT(GpuProblem(report, "GPU-a"), HasSubstr("asks for Reset"));
  report.gpus[0].mutable_health()->set_problem("GPU is lost");
  EXPECT_THAT(GpuProblem(report, "GPU-a"), HasSubstr("GPU is lost"));
  report.driver.set_state("Hung");
  EXPECT_THAT(GpuProblem(report, "GPU-a"), HasSubstr("driver is Hung"));
}

TEST_F(ClaimsTest, RootOfANewFilesystemIsOpenForAllAndThatOfAUsedOneStays) {
  stack_.Carve("v");
  ASSERT_EQ(Tell({VolumeDevice("data", "v", "/data")}), absl::OkStatus());
  const std::string root = stack_.root() + "/staged/v";
  std::filesystem::create_directories(root + "/lost+found");
  const auto mode = [&] { return sys::StatFile(root)->permissions; };
  std::filesystem::permissions(root, std::filesystem::perms{0755});
  ASSERT_TRUE(Prepare().ok());
  EXPECT_EQ(mode(), 0777u);
  std::filesystem::permissions(root, std::filesystem::perms{0755});
  std::filesystem::create_directory(root + "/mine");
  ASSERT_TRUE(Prepare().ok());
  EXPECT_EQ(mode(), 0755u);
}

TEST_F(ClaimsTest, RootOfAVolumeThatWasThereBeforeIsLeftAsItIs) {
  stack_.Carve("v");
  ASSERT_EQ(Tell({ExistingVolume("data", "v", "/data")}), absl::OkStatus());
  const std::string root = stack_.root() + "/staged/v";
  std::filesystem::create_directories(root);
  std::filesystem::permissions(root, std::filesystem::perms{0755});
  ASSERT_TRUE(Prepare().ok());
  EXPECT_EQ(sys::StatFile(root)->permissions, 0755u);
  ASSERT_EQ(Unprepare(), absl::OkStatus());
  EXPECT_TRUE(stack_.volumes->Find("v").has_value()) << "it outlives the claim";
  stack_.ExpectNothing();
}

TEST_F(ClaimsTest, VolumeThatPodsHaveThroughTheirClaimIsRefusedUntilTheyHaveEnded) {
  stack_.Carve("v");
  ASSERT_EQ(Tell({ExistingVolume("data", "v", "/data")}), absl::OkStatus());
  const std::string elsewhere = stack_.root() + "/kubelet";
  std::filesystem::create_directories(elsewhere);
  ASSERT_EQ(stack_.volumes->Stage({}, {"v", elsewhere}), absl::OkStatus());
  EXPECT_THAT(Problem(), HasSubstr("in use by pods through its PersistentVolumeClaim"));
  const absl::Status refused = Prepare().status();
  EXPECT_EQ(refused.code(), StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(refused.message()), HasSubstr("volume v is in use by pods"));
  ASSERT_EQ(stack_.volumes->Unstage({}, "v", elsewhere), absl::OkStatus());
  EXPECT_TRUE(Prepare().ok());
  EXPECT_EQ(Problem(), "");
  EXPECT_EQ(stack_.claims->HolderOf("v"), "space/name");
  EXPECT_EQ(stack_.volumes->Stage({}, {"v", elsewhere}).code(), StatusCode::kFailedPrecondition);
  ASSERT_EQ(Unprepare(), absl::OkStatus());
  EXPECT_EQ(stack_.claims->HolderOf("v"), "");
}

TEST_F(ClaimsTest, VolumeThatWasThereBeforeIsWrittenByOneClaimOrReadByMany) {
  stack_.Carve("v");
  ASSERT_EQ(Tell({ExistingVolume("data", "v", "/data")}, "u-1"), absl::OkStatus());
  ASSERT_EQ(Tell({ExistingVolume("data", "v", "/data")}, "u-2"), absl::OkStatus());
  ASSERT_TRUE(Prepare("u-1").ok());
  EXPECT_EQ(Prepare("u-2").status().code(), StatusCode::kFailedPrecondition);
  ASSERT_EQ(Unprepare("u-1"), absl::OkStatus());
  ASSERT_EQ(Unprepare("u-2"), absl::OkStatus());
  ASSERT_EQ(Tell({ExistingVolume("data", "v", "/data", true)}, "u-1"), absl::OkStatus());
  ASSERT_EQ(Tell({ExistingVolume("data", "v", "/data", true)}, "u-2"), absl::OkStatus());
  EXPECT_TRUE(Prepare("u-1").ok());
  EXPECT_TRUE(Prepare("u-2").ok());
}

TEST_F(ClaimsTest, PodsOfAClaimAreKnownWhereItsVolumesAreShown) {
  stack_.Carve("v");
  const ClaimFacts facts = Facts({VolumeDevice("data", "v", "/data")});
  ASSERT_TRUE(stack_.claims->Ensure({}, facts, {"pod-a"}).ok());
  ASSERT_TRUE(Prepare().ok());
  const auto pods = [&] {
    auto uses = stack_.volumes->Uses();
    stack_.claims->AddPods(uses);
    return uses.at(0).claim_pods.at(uses.at(0).targets.at(0));
  };
  EXPECT_THAT(pods(), ElementsAre("pod-a"));
  ASSERT_TRUE(stack_.claims->Ensure({}, facts, {"pod-a", "pod-b"}).ok()) << "while it is prepared";
  EXPECT_THAT(pods(), ElementsAre("pod-a", "pod-b"));
  stack_.Start("boot-1");
  EXPECT_THAT(pods(), ElementsAre("pod-a", "pod-b"));
}

TEST_F(ClaimsTest, RecordThatIsLongerThanAPageIsKept) {
  std::vector<ClaimDevice> devices;
  for (int i = 0; i < 32; ++i)
    devices.push_back(VolumeDevice(absl::StrCat("r", i), absl::StrCat("v", i),
                                   absl::StrCat("/", std::string(200, 'p'), i)));
  ASSERT_EQ(Tell(devices), absl::OkStatus());
  stack_.Start("boot-1");
  EXPECT_EQ(stack_.claims->List().at(0).devices.size(), 32u);
  EXPECT_EQ(Tell(devices), absl::OkStatus());
}

TEST_F(ClaimsTest, ClaimThatCannotBeIsRefusedAndNamesTheField) {
  const auto refused = [&](const ClaimFacts& facts, absl::string_view why) {
    const absl::Status told = stack_.claims->Ensure({}, facts).status();
    EXPECT_EQ(told.code(), StatusCode::kInvalidArgument) << why;
    EXPECT_THAT(std::string(told.message()), HasSubstr(why));
  };
  const ClaimDevice good = VolumeDevice("data", "v", "/data");
  refused(Facts({good}, ""), "uid");
  refused(Facts({good}, "../x"), "uid");
  refused(Facts({good}, std::string(65, 'u')), "uid");
  refused(Facts({}), "devices has 0");
  refused(Facts(std::vector<ClaimDevice>(33, good)), "devices has 33");
  refused(Facts({good, good}), "devices[1].path");
  for (const char* path : {"", "/", "data", "/a/../b", "/a//b"})
    refused(Facts({VolumeDevice("data", "v", path)}), "devices[0].path");
  refused(Facts({VolumeDevice("", "v", "/data")}), "devices[0].request");
  refused(Facts({VolumeDevice("data", "", "/data")}), "devices[0].volume_id");
  refused(Facts({GpuDevice("gpu", "")}), "devices[0].uuid");
  ClaimDevice crossed = good;
  crossed.driver = kGpuDriver;
  refused(Facts({crossed}), "devices[0].driver");
  crossed = GpuDevice("gpu", "GPU-a");
  crossed.driver = "gpu.example";
  refused(Facts({crossed}), "devices[0].driver");
}

}  // namespace
}  // namespace ashlar::node_agent
