#include "controller/volume/volume_attributes.h"

#include "gtest/gtest.h"
#include "lib/api/conditions.h"

namespace ashlar::controller {
namespace {

const absl::Time kNow = absl::FromUnixSeconds(1700000000);

v1alpha1::Volume Limited() {
  v1alpha1::Volume volume;
  volume.mutable_metadata()->set_name("v1");
  volume.mutable_metadata()->set_generation(4);
  volume.mutable_spec()->mutable_limits()->set_read_iops(100);
  volume.mutable_spec()->mutable_limits()->set_write_bytes_per_second(10 << 20);
  volume.mutable_spec()->set_trim("Daily");
  return volume;
}

agent::v1::VolumeState StateOf(const v1alpha1::Volume& volume) {
  agent::v1::VolumeState state;
  *state.mutable_attributes() = ModifyRequest(volume).attributes();
  return state;
}

TEST(ModifyRequest, SaysAllOfTheAttributes) {
  const auto request = ModifyRequest(Limited());
  EXPECT_EQ(request.volume_id(), "v1");
  EXPECT_EQ(request.attributes().read_iops(), 100);
  EXPECT_EQ(request.attributes().write_iops(), 0);
  EXPECT_EQ(request.attributes().read_bytes_per_second(), 0);
  EXPECT_EQ(request.attributes().write_bytes_per_second(), 10 << 20);
  EXPECT_EQ(request.attributes().trim(), agent::v1::TRIM_SCHEDULE_DAILY);
}

TEST(WantsModification, OfEachAttributeThatDiffers) {
  const v1alpha1::Volume volume = Limited();
  EXPECT_FALSE(WantsModification(volume, StateOf(volume)));
  for (int field = 0; field < 5; ++field) {
    v1alpha1::Volume other = volume;
    v1alpha1::VolumeLimits& limits = *other.mutable_spec()->mutable_limits();
    if (field == 0) limits.set_read_iops(1);
    if (field == 1) limits.set_write_iops(1);
    if (field == 2) limits.set_read_bytes_per_second(1);
    if (field == 3) limits.set_write_bytes_per_second(1);
    if (field == 4) other.mutable_spec()->set_trim("Never");
    EXPECT_TRUE(WantsModification(other, StateOf(volume))) << field;
  }
}

TEST(WantsModification, NotOfAnAgentThatWasToldNothingForAVolumeWithTheDefaults) {
  v1alpha1::Volume volume;
  EXPECT_FALSE(WantsModification(volume, {}));
  volume.mutable_spec()->set_trim("Weekly");
  EXPECT_FALSE(WantsModification(volume, {}));
}

TEST(ObserveAttributes, ShowsWhatTheAgentHoldsAndThatItIsInForce) {
  v1alpha1::Volume volume = Limited();
  ObserveAttributes(volume, StateOf(volume), kNow);
  EXPECT_EQ(volume.status().limits().read_iops(), 100);
  EXPECT_FALSE(volume.status().limits().has_write_iops());
  EXPECT_EQ(volume.status().trim(), "Daily");
  const k8s::Condition* applied = api::FindCondition(volume.status().conditions(), kApplied);
  ASSERT_NE(applied, nullptr);
  EXPECT_EQ(applied->status(), "True");
  EXPECT_EQ(applied->message(), "100 reads/s, 10Mi/s written, trim Daily");
  EXPECT_EQ(applied->observed_generation(), 4);
}

TEST(ObserveAttributes, SaysWhereTheyAreNotInForce) {
  v1alpha1::Volume volume = Limited();
  agent::v1::VolumeState state = StateOf(volume);
  state.set_attributes_message("pod u-1: there is no control group");
  ObserveAttributes(volume, state, kNow);
  const k8s::Condition* applied = api::FindCondition(volume.status().conditions(), kApplied);
  ASSERT_NE(applied, nullptr);
  EXPECT_EQ(applied->status(), "False");
  EXPECT_EQ(applied->reason(), kNotInForce);
  EXPECT_EQ(applied->message(), "pod u-1: there is no control group");
}

TEST(ObserveAttributes, LeavesTheConditionAloneWhileTheAgentHoldsOtherAttributes) {
  v1alpha1::Volume volume = Limited();
  SetNotApplied(volume, kRefused, "no", kNow);
  ObserveAttributes(volume, {}, kNow);
  EXPECT_FALSE(volume.status().has_limits());
  EXPECT_EQ(api::FindCondition(volume.status().conditions(), kApplied)->reason(), kRefused);
}

TEST(ObserveAttributes, AVolumeThatHasTheDefaultsAgainHasNoTraceOfThem) {
  v1alpha1::Volume volume = Limited();
  ObserveAttributes(volume, StateOf(volume), kNow);
  volume.mutable_spec()->clear_limits();
  volume.mutable_spec()->clear_trim();
  ObserveAttributes(volume, StateOf(volume), kNow);
  EXPECT_FALSE(volume.status().has_limits());
  EXPECT_EQ(volume.status().trim(), "");
  EXPECT_EQ(api::FindCondition(volume.status().conditions(), kApplied), nullptr);
}

TEST(DescribeAttributes, NamesTheDefaults) {
  EXPECT_EQ(DescribeAttributes({}), "no limits, trim Weekly");
}

}  // namespace
}  // namespace ashlar::controller
