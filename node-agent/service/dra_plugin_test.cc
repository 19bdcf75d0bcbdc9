// The kubelet's side of the DRA drivers, over their sockets.
#include "node-agent/service/dra_plugin.h"

#include <filesystem>
#include <thread>

#include "absl/strings/str_cat.h"
#include "dra-health/v1alpha1/api.grpc.pb.h"
#include "dra/v1/api.grpc.pb.h"
#include "dra/v1beta1/api.grpc.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/rpc/channel.h"
#include "lib/rpc/client_call.h"
#include "node-agent/limits/limit_keeper.h"
#include "node-agent/testing/claim_stack.h"
#include "pluginregistration/v1/api.grpc.pb.h"

namespace ashlar::node_agent {
namespace {

namespace v1 = ::k8s::io::kubelet::pkg::apis::dra::v1;
namespace v1beta1 = ::k8s::io::kubelet::pkg::apis::dra::v1beta1;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class DraPluginTest : public testing::Test {
 protected:
  void SetUp() override {
    stack_.changed = [this] { feed_.Poke(); };
    feed_.Start(absl::Hours(1));
    Start();
  }
  void TearDown() override {
    plugin_.reset();
    feed_.Stop();
  }
  void Start() {
    const DraPluginOptions options{.driver = kNvmeDriver,
                                   .kubelet_dir = kubelet_,
                                   .patience = absl::Seconds(2),
                                   .heartbeat = absl::Milliseconds(100)};
    auto plugin = DraPlugin::Start(options, *stack_.claims, feed_, metrics_, clock_, runner_);
    ASSERT_TRUE(plugin.ok()) << plugin.status();
    plugin_ = *std::move(plugin);
  }
  std::shared_ptr<grpc::Channel> Channel(const std::string& socket) {
    return rpc::MakeUnixChannel(absl::StrCat("unix://", kubelet_, socket));
  }
  std::unique_ptr<v1::DRAPlugin::Stub> Driver() {
    return v1::DRAPlugin::NewStub(Channel("/plugins/nvme.ashlar.dev/dra.sock"));
  }
  template <class Request>
  static Request For(const std::vector<std::string>& uids) {
    Request request;
    for (const std::string& uid : uids) request.add_claims()->set_uid(uid);
    return request;
  }
  v1::NodePrepareResourcesResponse Prepare(const std::vector<std::string>& uids) {
    const auto driver = Driver();
    const auto answer = rpc::Call({}, *driver, &v1::DRAPlugin::Stub::NodePrepareResources,
                                  For<v1::NodePrepareResourcesRequest>(uids), rpc::WhenAway::kWait);
    EXPECT_TRUE(answer.ok()) << answer.status();
    return answer.ok() ? *answer : v1::NodePrepareResourcesResponse();
  }
  v1::NodeUnprepareResourcesResponse Unprepare(const std::vector<std::string>& uids) {
    const auto driver = Driver();
    const auto answer =
        rpc::Call({}, *driver, &v1::DRAPlugin::Stub::NodeUnprepareResources,
                  For<v1::NodeUnprepareResourcesRequest>(uids), rpc::WhenAway::kWait);
    EXPECT_TRUE(answer.ok()) << answer.status();
    return answer.ok() ? *answer : v1::NodeUnprepareResourcesResponse();
  }
  void Tell(const std::string& uid, const std::string& volume) {
    ClaimFacts facts{uid, "space", "name", {VolumeDevice("data/large", volume, "/data")}};
    facts.devices[0].share_id = "share-" + uid;
    EXPECT_EQ(stack_.claims->Ensure({}, facts).status(), absl::OkStatus());
  }

  RealClock clock_;
  ClaimStack stack_{clock_};
  const std::string kubelet_ = stack_.temporary.path() + "/kubelet";
  metrics::Registry registry_;
  const DriveScannerOptions nowhere_{stack_.temporary.path() + "/sys", stack_.temporary.path(),
                                     stack_.temporary.path() + "/proc"};
  DriveScanner scanner_{stack_.kernel->mounts(), stack_.kernel->loops(), nowhere_};
  sys::KernelNvmeAdmin admin_;
  NvmeReader nvme_{admin_, clock_, nowhere_.sys_root};
  PoolSet pools_{stack_.temporary.path(), {}};
  const std::unique_ptr<IoCgroups> cgroups_ = FindIoCgroups(stack_.temporary.path());
  LimitKeeper limits_{*cgroups_, [] { return std::vector<VolumeUse>(); }, [] {}, clock_, registry_};
  Machine machine_{nowhere_, [this] { return stack_.gpus; }};
  InventoryFeed feed_{scanner_,
                      nvme_,
                      pools_,
                      *stack_.volumes,
                      limits_,
                      machine_,
                      [this] { return stack_.claims->List(); },
                      [] { return std::vector<PodQuestion>(); },
                      DirectPlaces(),
                      clock_};
  OperationMetrics metrics_{registry_, clock_};
  rpc::CallRunner runner_{{}, clock_, registry_};
  std::unique_ptr<DraPlugin> plugin_;
};

TEST_F(DraPluginTest, KubeletFindsTheDriverAndWhatItSpeaks) {
  const auto registration = pluginregistration::Registration::NewStub(
      Channel("/plugins_registry/nvme.ashlar.dev-reg.sock"));
  const auto info = rpc::Call({}, *registration, &pluginregistration::Registration::Stub::GetInfo,
                              pluginregistration::InfoRequest(), rpc::WhenAway::kWait);
  ASSERT_TRUE(info.ok()) << info.status();
  EXPECT_EQ(info->type(), "DRAPlugin");
  EXPECT_EQ(info->name(), "nvme.ashlar.dev");
  EXPECT_EQ(info->endpoint(), kubelet_ + "/plugins/nvme.ashlar.dev/dra.sock");
  EXPECT_THAT(info->supported_versions(),
              ElementsAre("v1.DRAPlugin", "v1beta1.DRAPlugin", "v1alpha1.DRAResourceHealth"));
  plugin_.reset();
  EXPECT_TRUE(std::filesystem::is_empty(kubelet_ + "/plugins_registry"));
}

TEST_F(DraPluginTest, BatchIsAnsweredClaimByClaim) {
  stack_.Carve("v");
  Tell("good", "v");
  Tell("bad", "absent");
  const auto answer = Prepare({"bad", "good", "unknown"});
  ASSERT_EQ(answer.claims().size(), 3u);
  EXPECT_THAT(answer.claims().at("bad").error(), HasSubstr("volume absent is not on this node"));
  EXPECT_THAT(answer.claims().at("unknown").error(), HasSubstr("has not told this node"));
  const auto& good = answer.claims().at("good");
  EXPECT_EQ(good.error(), "");
  ASSERT_EQ(good.devices_size(), 1);
  EXPECT_THAT(good.devices(0).request_names(), ElementsAre("data"));
  EXPECT_EQ(good.devices(0).pool_name(), "n1");
  EXPECT_EQ(good.devices(0).device_name(), "drive-1");
  EXPECT_EQ(good.devices(0).share_id(), "share-good");
  EXPECT_THAT(good.devices(0).cdi_device_ids(), ElementsAre("nvme.ashlar.dev/claim=good-0"));
  const auto again = Prepare({"good"});
  EXPECT_EQ(again.claims().at("good").SerializeAsString(), good.SerializeAsString());
  const auto gone = Unprepare({"good", "bad", "unknown"});
  ASSERT_EQ(gone.claims().size(), 3u);
  for (const auto& [uid, one] : gone.claims()) EXPECT_EQ(one.error(), "") << uid;
  stack_.ExpectNothing();
}

TEST_F(DraPluginTest, PreparingWaitsForTheController) {
  stack_.Carve("v");
  std::jthread controller([this] {
    absl::SleepFor(absl::Milliseconds(100));
    Tell("late", "v");
  });
  EXPECT_EQ(Prepare({"late"}).claims().at("late").error(), "");
}

TEST_F(DraPluginTest, OlderKubeletsAreServedTheSame) {
  stack_.Carve("v");
  Tell("u", "v");
  const auto driver = v1beta1::DRAPlugin::NewStub(Channel("/plugins/nvme.ashlar.dev/dra.sock"));
  const auto answer =
      rpc::Call({}, *driver, &v1beta1::DRAPlugin::Stub::NodePrepareResources,
                For<v1beta1::NodePrepareResourcesRequest>({"u"}), rpc::WhenAway::kWait);
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_THAT(answer->claims().at("u").devices(0).cdi_device_ids(),
              ElementsAre("nvme.ashlar.dev/claim=u-0"));
  const auto gone = rpc::Call({}, *driver, &v1beta1::DRAPlugin::Stub::NodeUnprepareResources,
                              For<v1beta1::NodeUnprepareResourcesRequest>({"u"}));
  ASSERT_TRUE(gone.ok()) << gone.status();
  EXPECT_EQ(gone->claims().at("u").error(), "");
  stack_.ExpectNothing();
}

TEST_F(DraPluginTest, HealthIsToldAtOnceAndAgainAndAgain) {
  stack_.Carve("v");
  Tell("u", "v");
  ASSERT_EQ(Prepare({"u"}).claims().at("u").error(), "");
  const auto stub =
      ::v1alpha1::DRAResourceHealth::NewStub(Channel("/plugins/nvme.ashlar.dev/dra.sock"));
  rpc::ClientCall call({.deadline = clock_.Now() + absl::Seconds(60)}, rpc::WhenAway::kWait);
  const auto reader = stub->NodeWatchResources(call.get(), {});
  const auto until = [&](::v1alpha1::HealthStatus wanted) {
    ::v1alpha1::NodeWatchResourcesResponse told;
    while (reader->Read(&told))
      if (told.devices_size() == 1 && told.devices(0).health() == wanted) return told.devices(0);
    ADD_FAILURE() << "the stream ended: " << told.DebugString();
    return ::v1alpha1::DeviceHealth();
  };
  const auto healthy = until(::v1alpha1::HEALTHY);
  EXPECT_EQ(healthy.device().pool_name(), "n1");
  EXPECT_EQ(healthy.device().device_name(), "drive-1");
  EXPECT_EQ(healthy.message(), "");
  EXPECT_GE(healthy.last_updated_time(), absl::ToUnixSeconds(clock_.Now()) - 60);
  until(::v1alpha1::HEALTHY);  // without news
  stack_.kernel->Stain(stack_.root() + "/staged/v");
  feed_.Poke();
  EXPECT_THAT(until(::v1alpha1::UNHEALTHY).message(), HasSubstr("FilesystemReadOnly"));
  // What heals it: the pod goes, and the volume is staged anew.
  ASSERT_EQ(Unprepare({"u"}).claims().at("u").error(), "");
  ASSERT_EQ(Prepare({"u"}).claims().at("u").error(), "");
  until(::v1alpha1::HEALTHY);
}

TEST(DeviceHealth, DeviceOfSeveralClaimsHasTheTroubleOfEach) {
  const auto status = [](const std::string& uid, const std::string& problem) {
    ClaimStatus claim{uid, true, {}};
    claim.devices.push_back({VolumeDevice("data", "v", "/data"), {"id"}, problem});
    return claim;
  };
  EXPECT_THAT(HealthOf({status("1", ""), status("2", "bad"), status("3", "worse")}, kNvmeDriver),
              ElementsAre(DeviceHealth{"n1", "drive-1", "bad; worse"}));
  EXPECT_TRUE(HealthOf({status("1", "bad")}, kGpuDriver).empty());
  ClaimStatus told = status("1", "not carved yet");
  told.devices[0].cdi_devices.clear();
  EXPECT_TRUE(HealthOf({told}, kNvmeDriver).empty()) << "nobody uses it yet";
}

}  // namespace
}  // namespace ashlar::node_agent
