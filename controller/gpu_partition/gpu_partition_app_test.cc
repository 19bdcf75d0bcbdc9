// GPUPartitions with the whole controller, an API server and an agent in memory.
#include "ashlar/k8s/resource.codec.h"
#include "ashlar/v1alpha1/gpu_partition.codec.h"
#include "controller/gpu_partition/testing/hopper.h"
#include "controller/testing/controller_lab.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace ashlar::controller {
namespace {

const api::KindInfo& kPartition = api::Kind<v1alpha1::GPUPartition>();
const api::KindInfo& kClaim = api::Kind<k8s::ResourceClaim>();

class GpuPartitionApp : public testing::Test {
 protected:
  GpuPartitionApp() {
    lab_.AddNode("n1", kGi)->AddGpu(Hopper("GPU-a"));
    lab_.Start();
    lab_.Await(api::Kind<v1alpha1::NodeInventory>(), "n1",
               [](const Json* now) { return now != nullptr; });
  }
  void Own(const std::string& ownership) {
    lab_.Change(api::Kind<v1alpha1::NodeInventory>(), "n1",
                [&](Json& inventory) { inventory["spec"]["gpuOwnership"] = ownership; });
  }
  void Make(const std::string& name) {
    const auto made = lab_.server.Create(
        {}, kPartition,
        {{"apiVersion", "ashlar.dev/v1alpha1"},
         {"kind", "GPUPartition"},
         {"metadata", {{"name", name}, {"namespace", "team"}}},
         {"spec", {{"profile", "3g.40gb"}, {"count", 1}, {"placementPolicy", "BestFit"}}}});
    ASSERT_TRUE(made.ok()) << made.status();
  }
  // The start of the chosen place.
  int64_t Place(const std::string& name) {
    lab_.AwaitCondition(kPartition, name, "Allocated", "True", "Chosen");
    const auto object = lab_.server.Get({}, kPartition, {"team", name});
    return (*object)["status"]["allocations"][0]["start"].get<int64_t>();
  }

  RealClock clock_;
  ControllerLab lab_{clock_};
};

TEST_F(GpuPartitionApp, PlacesAreChosenOnManagedNodesAndClaimsMadeForThem) {
  Make("a");
  lab_.AwaitCondition(kPartition, "a", "Allocated", "False", "NoNodes");
  Own("Manage");
  EXPECT_EQ(Place("a"), 4);
  const Json claim = lab_.Await(kClaim, "a", [](const Json* now) { return now != nullptr; });
  EXPECT_EQ(JsonString(claim, {"metadata", "namespace"}), "team");
  Make("b");
  EXPECT_EQ(Place("b"), 0) << "what was promised to another one is not free";
  Make("c");
  EXPECT_THAT(lab_.AwaitCondition(kPartition, "c", "Allocated", "False", "NoRoom"),
              testing::HasSubstr("n1"));
  // A GPUPartition that goes gives its place back.
  ASSERT_TRUE(lab_.server.Delete({}, kPartition, {"team", "a"}, {}).ok());
  ASSERT_TRUE(lab_.server.Delete({}, kClaim, {"team", "a"}, {}).ok());
  EXPECT_EQ(Place("c"), 4);
  lab_.AwaitCondition(kPartition, "c", "Healthy", "True", "Healthy");
}

TEST_F(GpuPartitionApp, OneThatCannotBeReadHoldsUpNobody) {
  Own("Manage");
  const auto bad = lab_.server.Create({}, kPartition,
                                      {{"apiVersion", "ashlar.dev/v1alpha1"},
                                       {"kind", "GPUPartition"},
                                       {"metadata", {{"name", "bad"}, {"namespace", "team"}}},
                                       {"spec", {{"profile", "3g.40gb"}, {"count", "several"}}}});
  ASSERT_TRUE(bad.ok()) << bad.status();
  Make("good");
  EXPECT_GE(Place("good"), 0);
}

TEST_F(GpuPartitionApp, SomebodyElsesClaimIsLeftAlone) {
  Own("Manage");
  const auto made = lab_.server.Create({}, kClaim,
                                       {{"apiVersion", "resource.k8s.io/v1"},
                                        {"kind", "ResourceClaim"},
                                        {"metadata", {{"name", "a"}, {"namespace", "team"}}},
                                        {"spec", Json::object()}});
  ASSERT_TRUE(made.ok()) << made.status();
  lab_.Await(kClaim, "a", [](const Json* now) { return now != nullptr; });
  Make("a");
  lab_.AwaitCondition(kPartition, "a", "Accepted", "False", "ClaimNameTaken");
  EXPECT_TRUE(lab_.server.Get({}, kClaim, {"team", "a"}).ok());
}

}  // namespace
}  // namespace ashlar::controller
