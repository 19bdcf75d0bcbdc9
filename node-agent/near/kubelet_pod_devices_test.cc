#include "node-agent/near/kubelet_pod_devices.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/base/testing/temporary_directory.h"
#include "node-agent/testing/fake_kubelet.h"

namespace ashlar::node_agent {
namespace {

using absl::StatusCode;
using testing::ElementsAre;
using testing::HasSubstr;

// One pod with a GPU of a plugin in one container and a claimed one in another, and a namesake.
::v1::ListPodResourcesResponse Pods() {
  ::v1::ListPodResourcesResponse pods;
  ::v1::PodResources& namesake = *pods.add_pod_resources();
  namesake.set_name("trainer");
  namesake.set_namespace_("elsewhere");
  ::v1::PodResources& pod = *pods.add_pod_resources();
  pod.set_name("trainer");
  pod.set_namespace_("ml");
  ::v1::ContainerDevices& given = *pod.add_containers()->add_devices();
  given.set_resource_name("nvidia.com/gpu");
  given.add_device_ids("GPU-a");
  ::v1::ClaimResource& claimed =
      *pod.add_containers()->add_dynamic_resources()->add_claim_resources();
  claimed.set_driver_name("gpu.nvidia.com");
  claimed.set_device_name("gpu-1");
  return pods;
}

PodDevice Named(const char* owner, const char* name) { return {owner, name, "", "", ""}; }

class KubeletPodDevicesTest : public testing::Test {
 protected:
  TemporaryDirectory temporary_;
  RealClock clock_;
  const std::string socket_ = temporary_.path() + "/kubelet.sock";
  KubeletPodDevices devices_{socket_, clock_};
};

TEST_F(KubeletPodDevicesTest, TellsWhatPluginsAndClaimsGaveToAllContainers) {
  FakeKubelet kubelet(socket_, Pods);
  for (const bool has_get : {true, false}) {
    SCOPED_TRACE(has_get);
    if (!has_get) kubelet.DisableGet();
    const auto found = devices_.Find({}, {"ml", "trainer", ""});
    ASSERT_TRUE(found.ok()) << found.status();
    EXPECT_THAT(*found,
                ElementsAre(Named("nvidia.com/gpu", "GPU-a"), Named("gpu.nvidia.com", "gpu-1")));
    const absl::Status none = devices_.Find({}, {"ml", "other", ""}).status();
    EXPECT_EQ(none.code(), StatusCode::kUnavailable);
    EXPECT_THAT(std::string(none.message()), HasSubstr("ml/other"));
  }
}

TEST_F(KubeletPodDevicesTest, SaysWhichSocketDoesNotAnswerAndAsksAgainWhenItIsThere) {
  const absl::Status away = devices_.Find({}, {"ml", "trainer", ""}).status();
  EXPECT_EQ(away.code(), StatusCode::kUnavailable);
  EXPECT_THAT(std::string(away.message()), HasSubstr(socket_));
  FakeKubelet kubelet(socket_, Pods);
  const absl::Time until = clock_.Now() + absl::Seconds(10);
  absl::Status found;
  do found = devices_.Find({}, {"ml", "trainer", ""}).status();
  while (!found.ok() && clock_.Now() < until);
  EXPECT_EQ(found, absl::OkStatus());
}

TEST_F(KubeletPodDevicesTest, AKubeletThatHangsIsLeftAtTheDeadline) {
  FakeKubelet kubelet(socket_, Pods);
  ASSERT_TRUE(devices_.Find({}, {"ml", "trainer", ""}).ok());
  kubelet.SetHanging(true);
  CallContext context;
  context.deadline = clock_.Now() + absl::Milliseconds(200);
  EXPECT_EQ(devices_.Find(context, {"ml", "trainer", ""}).status().code(),
            StatusCode::kUnavailable);
  const absl::Time begin = clock_.Now();
  EXPECT_EQ(devices_.Find({}, {"ml", "trainer", ""}).status().code(), StatusCode::kUnavailable);
  EXPECT_LT(clock_.Now() - begin, 2 * kKubeletTime);
}

}  // namespace
}  // namespace ashlar::node_agent
