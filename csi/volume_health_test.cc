#include "csi/volume_health.h"

#include "gtest/gtest.h"

namespace ashlar::csi_driver {
namespace {

v1alpha1::Volume WithHealth(const std::string& status, const std::string& reason) {
  v1alpha1::Volume volume;
  volume.mutable_metadata()->set_name("v1");
  k8s::Condition& condition = *volume.mutable_status()->add_conditions();
  condition.set_type("Healthy");
  condition.set_status(status);
  condition.set_reason(reason);
  condition.set_message("why");
  return volume;
}

TEST(VolumeHealth, IsToldInBothForms) {
  struct Case {
    const char* status;
    const char* reason;
    bool abnormal;
    int entries;
    csi::v1::VolumeHealthErrorType type;
  };
  for (const Case& c : std::vector<Case>{
           {"True", "Healthy", false, 0, csi::v1::UNKNOWN_VOLUME_HEALTH_TYPE},
           {"Unknown", "AgentUnavailable", false, 0, csi::v1::UNKNOWN_VOLUME_HEALTH_TYPE},
           {"False", "VolumeLost", true, 1, csi::v1::DATA_LOSS},
           {"False", "PoolNotReady", true, 1, csi::v1::INACCESSIBLE},
           {"False", "FilesystemDamaged", true, 1, csi::v1::DATA_LOSS},
           {"False", "DriveMissing", true, 1, csi::v1::INACCESSIBLE},
           {"False", "StaleMount", true, 1, csi::v1::INACCESSIBLE},
           {"False", "FilesystemStopped", true, 1, csi::v1::INACCESSIBLE},
           {"False", "FilesystemReadOnly", true, 1, csi::v1::DEGRADED},
           {"False", "Degraded", true, 1, csi::v1::DEGRADED},
           {"False", "Unhealthy", true, 1, csi::v1::DEGRADED}}) {
    const v1alpha1::Volume volume = WithHealth(c.status, c.reason);
    EXPECT_EQ(ConditionOf(volume).abnormal, c.abnormal) << c.reason;
    const csi::v1::VolumeHealth health = HealthOf(volume);
    EXPECT_EQ(health.volume_id(), "v1");
    ASSERT_EQ(health.health_statuses_size(), c.entries) << c.reason;
    if (c.entries == 0) continue;
    EXPECT_EQ(health.health_statuses(0).status(), c.type) << c.reason;
    EXPECT_EQ(health.health_statuses(0).reason(), c.reason);
    EXPECT_EQ(health.health_statuses(0).message(), "why");
  }
  EXPECT_EQ(HealthOf(v1alpha1::Volume()).health_statuses_size(), 0);
}

TEST(VolumeHealth, TheAgentOfTheNodeTellsItInTheSameWords) {
  agent::v1::VolumeState state;
  state.set_volume_id("v1");
  state.set_message("why");
  for (const auto& [reason, type] :
       std::vector<std::pair<std::string, int>>{{"DriveMissing", csi::v1::INACCESSIBLE},
                                                {"FilesystemReadOnly", csi::v1::DEGRADED},
                                                {"", csi::v1::DEGRADED}}) {
    state.set_reason(reason);
    const csi::v1::VolumeHealth health = HealthOf(state);
    ASSERT_EQ(health.health_statuses_size(), 1);
    EXPECT_EQ(health.health_statuses(0).status(), type) << reason;
    EXPECT_EQ(health.health_statuses(0).reason(), reason.empty() ? "Unhealthy" : reason);
  }
  state.set_healthy(true);
  EXPECT_EQ(HealthOf(state).health_statuses_size(), 0);
}

TEST(VolumeHealth, PoolsThatAreReadyTellWhatIsNotAsItShouldBe) {
  agent::v1::GetHealthResponse health;
  const auto add = [&](const std::string& name, bool ready, const std::string& reason) {
    agent::v1::PoolState& pool = *health.add_pools();
    pool.set_name(name);
    pool.set_ready(ready);
    pool.set_reason(reason);
    pool.set_message("why");
  };
  add("well", true, "");
  add("leaving", true, "Draining");
  add("full", true, "ThinPoolFull");
  add("away", false, "NoMatchingDrive");
  const auto told = StorageHealthOf(health);
  ASSERT_EQ(told.backend_health_size(), 2);
  EXPECT_EQ(told.backend_health(0).status(), csi::v1::STORAGE_DEGRADED);
  EXPECT_EQ(told.backend_health(0).reason(), "ThinPoolFull/full");
  EXPECT_EQ(told.backend_health(1).status(), csi::v1::STORAGE_UNREACHABLE);
}

// A caller of v1.12 reads it: the bytes are those of its VolumeCondition.
TEST(VolumeHealth, TheConditionIsOnTheWireWhereItAlwaysWas) {
  csi::v1::NodeGetVolumeStatsResponse response;
  SetVolumeCondition({true, "bad"}, response);
  SetVolumeCondition({true, "worse"}, response);
  EXPECT_EQ(response.SerializeAsString(), std::string("\x12\x09\x08\x01\x12\x05worse", 11));
  EXPECT_TRUE(GetVolumeCondition(response).abnormal);
  EXPECT_EQ(GetVolumeCondition(response).message, "worse");
  EXPECT_FALSE(GetVolumeCondition(csi::v1::NodeGetVolumeStatsResponse()).abnormal);
}

}  // namespace
}  // namespace ashlar::csi_driver
