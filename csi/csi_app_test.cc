#include "csi/csi_app.h"

#include <filesystem>

#include "csi/names.h"
#include "csi/testing/carving_controller.h"
#include "csi/testing/fake_agent.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/api/kinds.h"
#include "lib/base/testing/temporary_directory.h"
#include "lib/kube/testing/fake_client.h"
#include "lib/rpc/channel.h"
#include "lib/rpc/client_call.h"
#include "pluginregistration/v1/api.grpc.pb.h"

namespace ashlar::csi_driver {
namespace {

using absl::StatusCode;
using testing::ElementsAre;
using testing::HasSubstr;

class CsiAppTest : public testing::Test {
 protected:
  CsiAppTest() {
    v1alpha1::Pool pool;
    pool.mutable_metadata()->set_name("fast");
    kube_.Put(api::Kind<v1alpha1::Pool>(), api::ToJson(pool));
  }
  void Start(Mode mode) {
    CsiOptions options{.mode = mode, .endpoint = endpoint_, .version = "1.2.3"};
    if (mode != Mode::kController) {
      options.agent_socket = directory_.path() + "/agent.sock";
      options.registration_directory = directory_.path();
      options.kubelet_endpoint = "/var/lib/kubelet/plugins/csi.ashlar.dev/csi.sock";
    }
    auto app = CsiApp::Start(options, clock_, registry_, mode == Mode::kNode ? nullptr : &kube_);
    ASSERT_TRUE(app.ok()) << app.status();
    app_ = *std::move(app);
    channel_ = rpc::MakeUnixChannel(endpoint_);
  }
  std::unique_ptr<pluginregistration::Registration::Stub> Kubelet() {
    return pluginregistration::Registration::NewStub(
        rpc::MakeUnixChannel("unix://" + directory_.path() + "/csi.ashlar.dev-reg.sock"));
  }
  bool Probe() {
    const auto stub = csi::v1::Identity::NewStub(channel_);
    const auto answer =
        rpc::Call({}, *stub, &csi::v1::Identity::Stub::Probe, csi::v1::ProbeRequest());
    return answer.ok() && answer->ready().value();
  }
  absl::Status Notify(bool registered, const std::string& error) {
    const auto kubelet = Kubelet();
    pluginregistration::RegistrationStatus status;
    status.set_plugin_registered(registered);
    status.set_error(error);
    return rpc::Call({.deadline = clock_.Now() + absl::Seconds(20)}, *kubelet,
                     &pluginregistration::Registration::Stub::NotifyRegistrationStatus, status,
                     rpc::WhenAway::kWait)
        .status();
  }

  RealClock clock_;
  TemporaryDirectory directory_;
  const std::string endpoint_ = "unix://" + directory_.path() + "/csi.sock";
  metrics::Registry registry_;
  kube::FakeClient kube_{clock_};
  FakeAgent agent_{directory_.path() + "/agent.sock", clock_};
  std::unique_ptr<CsiApp> app_;
  std::shared_ptr<grpc::Channel> channel_;
};

TEST_F(CsiAppTest, OneSocketServesControllerAndNode) {
  CarvingController carver(kube_);
  Start(Mode::kAll);
  while (!Probe()) std::this_thread::yield();
  csi::v1::CreateVolumeRequest request;
  request.set_name("pvc-1");
  auto& capability = *request.add_volume_capabilities();
  capability.mutable_mount();
  capability.mutable_access_mode()->set_mode(
      csi::v1::VolumeCapability::AccessMode::SINGLE_NODE_WRITER);
  (*request.mutable_parameters())["pool"] = "fast";
  const auto controller = csi::v1::Controller::NewStub(channel_);
  const auto created =
      rpc::Call({}, *controller, &csi::v1::Controller::Stub::CreateVolume, request);
  ASSERT_TRUE(created.ok()) << created.status();
  const auto node = csi::v1::Node::NewStub(channel_);
  const auto info =
      rpc::Call({}, *node, &csi::v1::Node::Stub::NodeGetInfo, csi::v1::NodeGetInfoRequest());
  EXPECT_EQ(info->node_id(), NodeOf(created->volume().accessible_topology(0)));
  request.set_name(std::string(129, 'x'));
  EXPECT_EQ(
      rpc::Call({}, *controller, &csi::v1::Controller::Stub::CreateVolume, request).status().code(),
      StatusCode::kInvalidArgument);
}

TEST_F(CsiAppTest, NodeNeedsNoKubernetesAndDoesNotServeTheController) {
  Start(Mode::kNode);
  const auto controller = csi::v1::Controller::NewStub(channel_);
  EXPECT_EQ(rpc::Call({}, *controller, &csi::v1::Controller::Stub::GetCapacity,
                      csi::v1::GetCapacityRequest())
                .status()
                .code(),
            StatusCode::kUnimplemented);
  const auto identity = csi::v1::Identity::NewStub(channel_);
  const auto info = rpc::Call({}, *identity, &csi::v1::Identity::Stub::GetPluginInfo,
                              csi::v1::GetPluginInfoRequest());
  EXPECT_EQ(info->name(), "csi.ashlar.dev");
  EXPECT_EQ(info->vendor_version(), "1.2.3");
}

TEST_F(CsiAppTest, KubeletFindsTheDriverAndReadinessFollowsItsAnswer) {
  Start(Mode::kNode);
  while (!Probe()) std::this_thread::yield();
  EXPECT_THAT(std::string(app_->Ready().message()), HasSubstr("not registered the driver yet"));
  const auto kubelet = Kubelet();
  const auto info = rpc::Call({}, *kubelet, &pluginregistration::Registration::Stub::GetInfo,
                              pluginregistration::InfoRequest());
  ASSERT_TRUE(info.ok()) << info.status();
  EXPECT_EQ(info->type(), "CSIPlugin");
  EXPECT_EQ(info->name(), "csi.ashlar.dev");
  EXPECT_EQ(info->endpoint(), "/var/lib/kubelet/plugins/csi.ashlar.dev/csi.sock");
  EXPECT_THAT(info->supported_versions(), ElementsAre("1.0.0"));
  ASSERT_TRUE(Notify(false, "no topology").ok());
  EXPECT_THAT(std::string(app_->Ready().message()), HasSubstr("no topology"));
  ASSERT_TRUE(Notify(true, "").ok());
  EXPECT_TRUE(app_->Ready().ok()) << app_->Ready();
}

TEST_F(CsiAppTest, RegistrationSocketThatVanishesIsServedAgain) {
  Start(Mode::kNode);
  ASSERT_TRUE(Notify(true, "").ok());
  std::filesystem::remove(directory_.path() + "/csi.ashlar.dev-reg.sock");
  ASSERT_TRUE(Notify(true, "").ok()) << "within the deadline, on a new socket";
}

TEST_F(CsiAppTest, ProbeIsNotReadyWhileTheAgentIsAway) {
  agent_.Stop();
  Start(Mode::kNode);
  EXPECT_FALSE(Probe());
  EXPECT_FALSE(app_->Ready().ok());
}

TEST_F(CsiAppTest, OptionsThatCannotWorkAreRefused) {
  const auto code = [&](const CsiOptions& options, kube::Client* kube) {
    return CsiApp::Start(options, clock_, registry_, kube).status().code();
  };
  EXPECT_EQ(code({.endpoint = "tcp://1.2.3.4:5"}, &kube_), StatusCode::kInvalidArgument);
  EXPECT_EQ(code({.mode = Mode::kController, .endpoint = endpoint_}, nullptr),
            StatusCode::kInvalidArgument);
  EXPECT_EQ(code({.mode = Mode::kNode, .endpoint = endpoint_}, nullptr),
            StatusCode::kInvalidArgument);
  EXPECT_EQ(code({.mode = Mode::kNode,
                  .endpoint = endpoint_,
                  .agent_socket = "/a",
                  .registration_directory = directory_.path(),
                  .kubelet_endpoint = "relative"},
                 nullptr),
            StatusCode::kInvalidArgument);
  EXPECT_EQ(ParseMode("both").status().code(), StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace ashlar::csi_driver
