#include "node-agent/trim/trim_plan.h"

#include <set>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

namespace ashlar::node_agent {
namespace {

const absl::Time kNow = absl::FromUnixSeconds(1700000000);

TEST(NextTrim, ComesOnceInAPeriod) {
  for (const auto& [schedule, period] : {std::pair{TrimSchedule::kDaily, absl::Hours(24)},
                                         std::pair{TrimSchedule::kWeekly, absl::Hours(168)}}) {
    const auto first = NextTrim("v1", schedule, kNow);
    ASSERT_TRUE(first.has_value());
    EXPECT_GT(*first, kNow);
    EXPECT_LE(*first, kNow + period);
    EXPECT_EQ(NextTrim("v1", schedule, *first), *first + period);
    EXPECT_EQ(NextTrim("v1", schedule, *first - absl::Seconds(1)), *first);
  }
}

TEST(NextTrim, NeverComesIfItShallNot) {
  EXPECT_EQ(NextTrim("v1", TrimSchedule::kNever, kNow), std::nullopt);
}

TEST(NextTrim, IsSpreadOverThePeriod) {
  std::set<int64_t> hours;
  for (int i = 0; i < 500; ++i)
    hours.insert((*NextTrim(absl::StrCat("pvc-", i), TrimSchedule::kDaily, kNow) - kNow) /
                 absl::Hours(1));
  EXPECT_EQ(hours.size(), 24u);
}

}  // namespace
}  // namespace ashlar::node_agent
