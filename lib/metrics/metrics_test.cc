#include "lib/metrics/metrics.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace ashlar::metrics {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(Metrics, SeriesExistAtZeroFromTheStart) {
  Registry registry;
  registry.GetCounter("ashlar_test_total", "what is counted", {{"kind", "Pool"}});
  EXPECT_THAT(registry.Text(), HasSubstr("# HELP ashlar_test_total what is counted"));
  EXPECT_THAT(registry.Text(), HasSubstr("ashlar_test_total{kind=\"Pool\"} 0"));
}

TEST(Metrics, SameNameAndLabelsGiveTheSameSeries) {
  Registry registry;
  registry.GetCounter("ashlar_test_total", "help").Increment();
  registry.GetCounter("ashlar_test_total", "another help").Increment(2);
  EXPECT_THAT(registry.Text(), HasSubstr("ashlar_test_total 3"));
}

TEST(Metrics, DurationsAreSeconds) {
  Registry registry;
  registry.GetHistogram("ashlar_test_seconds", "help").Observe(absl::Milliseconds(2));
  EXPECT_THAT(registry.Text(), HasSubstr("ashlar_test_seconds_bucket{le=\"0.0025\"} 1"));
  EXPECT_THAT(registry.Text(), HasSubstr("ashlar_test_seconds_sum 0.002"));
}

TEST(Metrics, RemovedGaugeIsNoLongerShown) {
  Registry registry;
  registry.GetGauge("ashlar_pool_bytes", "help", {{"pool", "a"}}).Set(7);
  registry.GetGauge("ashlar_pool_bytes", "help", {{"pool", "b"}}).Set(8);
  registry.RemoveGauge("ashlar_pool_bytes", {{"pool", "a"}});
  EXPECT_THAT(registry.Text(), Not(HasSubstr("pool=\"a\"")));
  EXPECT_THAT(registry.Text(), HasSubstr("pool=\"b\""));
  registry.GetGauge("ashlar_pool_bytes", "help", {{"pool", "a"}}).Set(9);
  EXPECT_THAT(registry.Text(), HasSubstr("ashlar_pool_bytes{pool=\"a\"} 9"));
}

}  // namespace
}  // namespace ashlar::metrics
