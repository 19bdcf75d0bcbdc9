#include "lib/api/conditions.h"

#include "gtest/gtest.h"

namespace ashlar::api {
namespace {

const absl::Time kThen = absl::FromUnixSeconds(1000);
const absl::Time kLater = absl::FromUnixMillis(2000900);

TEST(Conditions, TransitionTimeMovesOnlyWithTheStatus) {
  Conditions conditions;
  EXPECT_TRUE(SetCondition(conditions, {"Ready", kFalse, "Starting", "a", 1}, kThen));
  EXPECT_TRUE(SetCondition(conditions, {"Ready", kFalse, "Waiting", "b", 2}, kLater));
  ASSERT_EQ(conditions.size(), 1);
  EXPECT_EQ(conditions[0].last_transition_time().seconds(), 1000);
  EXPECT_EQ(conditions[0].reason(), "Waiting");
  EXPECT_EQ(conditions[0].observed_generation(), 2);
  EXPECT_TRUE(SetCondition(conditions, {"Ready", kTrue, "Ready", "", 2}, kLater));
  EXPECT_EQ(conditions[0].last_transition_time().seconds(), 2000);
  EXPECT_EQ(conditions[0].last_transition_time().nanos(), 0);
}

TEST(Conditions, SayingTheSameAgainIsNoChange) {
  Conditions conditions;
  SetCondition(conditions, {"Ready", kTrue, "Ready", "m", 1}, kThen);
  EXPECT_FALSE(SetCondition(conditions, {"Ready", kTrue, "Ready", "m", 1}, kLater));
}

TEST(Conditions, AreFoundAndRemovedByType) {
  Conditions conditions;
  SetCondition(conditions, {"Ready", kTrue, "Ready", "", 1}, kThen);
  SetCondition(conditions, {"Healthy", kFalse, "Broken", "", 1}, kThen);
  EXPECT_TRUE(IsConditionTrue(conditions, "Ready"));
  EXPECT_FALSE(IsConditionTrue(conditions, "Healthy"));
  EXPECT_FALSE(IsConditionTrue(conditions, "Absent"));
  EXPECT_EQ(FindCondition(conditions, "Healthy")->reason(), "Broken");
  EXPECT_TRUE(RemoveCondition(conditions, "Ready"));
  EXPECT_FALSE(RemoveCondition(conditions, "Ready"));
  EXPECT_EQ(conditions.size(), 1);
}

}  // namespace
}  // namespace ashlar::api
