#include "node-agent/service/operation_metrics.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/base/testing/simulated_clock.h"

namespace ashlar::node_agent {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class OperationMetricsTest : public ::testing::Test {
 protected:
  static PoolStatus Pool(const std::string& name, BackendKind backend, int64_t capacity) {
    PoolStatus pool;
    pool.name = name;
    pool.backend = backend;
    pool.usage.capacity_bytes = capacity;
    pool.usage.allocated_bytes = capacity / 4;
    pool.usage.allocatable_bytes = capacity / 2;
    return pool;
  }
  void Show(std::vector<PoolStatus> pools) {
    InventorySnapshot inventory;
    inventory.pools = std::move(pools);
    metrics_.Show(inventory);
  }

  SimulatedClock clock_;
  metrics::Registry registry_;
  OperationMetrics metrics_{registry_, clock_};
};

TEST_F(OperationMetricsTest, OperationsAreCountedUnderTheBackendOfTheirPool) {
  Show({Pool("fast", BackendKind::kLvm, 8), Pool("plain", BackendKind::kFile, 8)});
  EXPECT_THAT(registry_.Text(), HasSubstr("errors_total{backend=\"LVM\",kind=\"carve\"} 0"))
      << "before the first error";
  VolumeStatus volume;
  volume.facts.pool = "fast";
  EXPECT_EQ(metrics_.BackendOf("plain"), "File");
  EXPECT_EQ(metrics_.BackendOf(std::make_optional(volume)), "LVM");
  EXPECT_EQ(metrics_.BackendOf(std::nullopt), "");
  const absl::Status failed = metrics_.Measure("carve", metrics_.BackendOf("fast"), [&] {
    clock_.Advance(absl::Seconds(3));
    return absl::ResourceExhaustedError("full");
  });
  EXPECT_TRUE(absl::IsResourceExhausted(failed));
  const std::string text = registry_.Text();
  EXPECT_THAT(text, HasSubstr("errors_total{backend=\"LVM\",kind=\"carve\"} 1"));
  EXPECT_THAT(text, HasSubstr("errors_total{backend=\"File\",kind=\"carve\"} 0"));
  EXPECT_THAT(text, HasSubstr("operation_seconds_sum{backend=\"LVM\",kind=\"carve\"} 3\n"));
  EXPECT_THAT(text, HasSubstr("operation_seconds_count{backend=\"File\",kind=\"carve\"} 0\n"));
}

TEST_F(OperationMetricsTest, TheBytesOfAPoolAreShownUntilItIsGone) {
  Show({Pool("fast", BackendKind::kLvm, 800), Pool("plain", BackendKind::kFile, 400)});
  EXPECT_THAT(registry_.Text(),
              AllOf(HasSubstr("pool_bytes{pool=\"fast\",state=\"capacity\"} 800"),
                    HasSubstr("pool_bytes{pool=\"fast\",state=\"allocated\"} 200"),
                    HasSubstr("pool_bytes{pool=\"fast\",state=\"allocatable\"} 400")));
  Show({Pool("plain", BackendKind::kFile, 100)});
  EXPECT_THAT(registry_.Text(),
              AllOf(Not(HasSubstr("pool=\"fast\"")),
                    HasSubstr("pool_bytes{pool=\"plain\",state=\"capacity\"} 100")));
  Show({Pool("fast", BackendKind::kLvm, 700)});
  EXPECT_THAT(registry_.Text(), HasSubstr("pool_bytes{pool=\"fast\",state=\"capacity\"} 700"));
}

}  // namespace
}  // namespace ashlar::node_agent
