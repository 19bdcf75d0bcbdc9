// Pools whose largest volume is less than what is left in all, through the whole controller.
#include "controller/testing/controller_lab.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/base/clock.h"

namespace ashlar::controller {
namespace {

using ::testing::HasSubstr;

TEST(LargestVolume, AVolumeGoesWhereOneDriveHoldsItAndTheRefusalSaysHowMuchOneHolds) {
  RealClock clock;
  ControllerLab lab(clock);
  auto n1 = lab.AddNode("n1", 40 * kGi);
  n1->SetLargestVolume(10 * kGi);
  lab.AddNode("n2", 16 * kGi);
  lab.MakePool("fast");
  lab.Start();
  lab.AwaitCondition(api::Kind<v1alpha1::Pool>(), "fast", "Ready", "True", "Ready");
  lab.MakeVolume("first", "12Gi");
  EXPECT_EQ(lab.AwaitCarved("first").spec().node_name(), "n2");
  lab.MakeVolume("second", "11Gi");
  const std::string why =
      lab.AwaitCondition(api::Kind<v1alpha1::Volume>(), "second", "Carved", "False", "NoCapacity");
  EXPECT_THAT(why, HasSubstr("n1: needs 11Gi but the largest volume has 10Gi of the 40Gi"));
  EXPECT_THAT(why, HasSubstr("The largest volume that fits is 10Gi on node n1."));
  // A drive with more room wakes it, though the sum stays.
  n1->SetLargestVolume(11 * kGi);
  EXPECT_EQ(lab.AwaitCarved("second").spec().node_name(), "n1");
}

TEST(LargestVolume, AVolumeOnANamedDriveGoesToItWaitsForItsRoomAndGrowsThere) {
  RealClock clock;
  ControllerLab lab(clock);
  lab.AddNode("n1", 40 * kGi);
  auto n2 = lab.AddNode("n2", 0);
  n2->SetPoolDrives({{"S1", 10 * kGi}, {"S2", 20 * kGi}});
  lab.MakePool("fast");
  lab.Start();
  lab.AwaitCondition(api::Kind<v1alpha1::Pool>(), "fast", "Ready", "True", "Ready");
  lab.MakeVolume("first", "8Gi", {{"drive", "S1"}});
  const v1alpha1::Volume first = lab.AwaitCarved("first");
  EXPECT_EQ(first.spec().node_name(), "n2");
  EXPECT_EQ(first.status().device().drive(), "S1");
  lab.MakeVolume("second", "4Gi", {{"drive", "S1"}});
  const std::string why =
      lab.AwaitCondition(api::Kind<v1alpha1::Volume>(), "second", "Carved", "False", "NoCapacity");
  EXPECT_THAT(why, HasSubstr("4Gi of pool fast on drive S1 fit on none of 2 nodes: "
                             "n2: needs 4Gi but 2Gi are allocatable"));
  const auto grow = [&](const char* size) {
    lab.Change(api::Kind<v1alpha1::Volume>(), "first", [&](Json& v) { v["spec"]["size"] = size; });
  };
  grow("12Gi");
  lab.AwaitCondition(api::Kind<v1alpha1::Volume>(), "first", "Carved", "False", "NoCapacity");
  lab.Delete(api::Kind<v1alpha1::Volume>(), "first");
  EXPECT_EQ(lab.AwaitCarved("second").status().device().drive(), "S1");
}

}  // namespace
}  // namespace ashlar::controller
