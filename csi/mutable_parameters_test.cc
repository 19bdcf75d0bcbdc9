#include "csi/mutable_parameters.h"

#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace ashlar::csi_driver {
namespace {

using google::protobuf::Map;
using testing::HasSubstr;
using v1alpha1::Volume;

TEST(ReadMutableParameters, ReadsQuantitiesAndTheSchedule) {
  Map<std::string, std::string> parameters;
  parameters["readIops"] = "5k";
  parameters["writeIops"] = "200";
  parameters["readBytesPerSecond"] = "100Mi";
  parameters["writeBytesPerSecond"] = "1e6";
  parameters["trim"] = "Daily";
  const auto read = ReadMutableParameters(parameters);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->limits.read_iops(), 5000);
  EXPECT_EQ(read->limits.write_iops(), 200);
  EXPECT_EQ(read->limits.read_bytes_per_second(), 100 << 20);
  EXPECT_EQ(read->limits.write_bytes_per_second(), 1000000);
  EXPECT_EQ(read->trim, "Daily");
}

TEST(ReadMutableParameters, NothingSaidIsNoLimitsAndNoSchedule) {
  const auto read = ReadMutableParameters({});
  ASSERT_TRUE(read.ok());
  EXPECT_EQ(read->limits.ByteSizeLong(), 0u);
  EXPECT_EQ(read->trim, "");
}

TEST(ReadMutableParameters, RefusesWithKeyValueAndWhatIsAccepted) {
  struct Row {
    const char* key;
    const char* value;
    std::vector<const char*> told;
  };
  for (const Row& row : std::vector<Row>{
           {"readIops", "0", {"readIops", "'0'", "at least 1", "leave the key out"}},
           {"readIops", "-5", {"readIops", "'-5'", "at least 1"}},
           {"writeIops", "", {"writeIops", "''"}},
           {"writeIops", "1500m", {"writeIops", "'1500m'", "whole number"}},
           {"readBytesPerSecond", "fast", {"readBytesPerSecond", "'fast'", "100Mi"}},
           {"writeBytesPerSecond", "99999999999999999999", {"writeBytesPerSecond"}},
           {"trim", "daily", {"trim", "'daily'", "Never, Daily, Weekly"}},
           {"trim", "", {"trim", "''"}},
           {"iops", "5", {"'iops'", "accepted: readBytesPerSecond, readIops, trim"}},
           {"erase", "Zero", {"'erase'", "accepted"}},
       }) {
    Map<std::string, std::string> parameters;
    parameters[row.key] = row.value;
    const absl::Status status = ReadMutableParameters(parameters).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << row.key << " " << row.value;
    for (const char* part : row.told)
      EXPECT_THAT(std::string(status.message()), HasSubstr(part)) << row.key;
  }
}

TEST(ApplyMutableParameters, ReplacesAllOfThemAndTellsOfAChange) {
  v1alpha1::VolumeSpec spec;
  MutableParameters parameters;
  EXPECT_FALSE(Apply(parameters, spec));
  parameters.limits.set_read_iops(5);
  parameters.trim = "Never";
  EXPECT_TRUE(Apply(parameters, spec));
  EXPECT_FALSE(Apply(parameters, spec));
  parameters = {};
  parameters.limits.set_write_iops(7);
  EXPECT_TRUE(Apply(parameters, spec));
  EXPECT_FALSE(spec.limits().has_read_iops());
  EXPECT_EQ(spec.limits().write_iops(), 7);
  EXPECT_EQ(spec.trim(), "");
  EXPECT_TRUE(Apply({}, spec));
  EXPECT_FALSE(spec.has_limits());
}

Volume Wanted() {
  Volume volume;
  volume.mutable_metadata()->set_name("v1");
  volume.mutable_metadata()->set_generation(2);
  volume.mutable_spec()->mutable_limits()->set_read_iops(5);
  return volume;
}

void SetApplied(Volume& volume, const char* reason, int64_t generation) {
  k8s::Condition& condition = *volume.mutable_status()->add_conditions();
  condition.set_type("Applied");
  condition.set_status("False");
  condition.set_reason(reason);
  condition.set_message("as the test has it");
  condition.set_observed_generation(generation);
}

TEST(DecideModify, IsAppliedWhenTheNodeHasWhatIsAskedFor) {
  using Kind = ModifyOutcome::Kind;
  Volume volume;
  EXPECT_EQ(DecideModify(volume).kind, Kind::kApplied) << "nothing is asked for";
  volume.mutable_spec()->set_trim("Weekly");
  EXPECT_EQ(DecideModify(volume).kind, Kind::kApplied) << "the default";
  volume = Wanted();
  EXPECT_EQ(DecideModify(volume).kind, Kind::kPending);
  volume.mutable_status()->mutable_limits()->set_read_iops(4);
  EXPECT_EQ(DecideModify(volume).kind, Kind::kPending);
  volume.mutable_status()->mutable_limits()->set_read_iops(5);
  EXPECT_EQ(DecideModify(volume).kind, Kind::kApplied);
  volume.mutable_status()->set_trim("Never");
  EXPECT_EQ(DecideModify(volume).kind, Kind::kPending);
}

TEST(DecideModify, IsRefusedByARefusalOfThisSpecAndPendingByAnythingElse) {
  using Kind = ModifyOutcome::Kind;
  Volume volume = Wanted();
  SetApplied(volume, "Refused", 2);
  EXPECT_EQ(DecideModify(volume).kind, Kind::kRefused);
  EXPECT_EQ(DecideModify(volume).why.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(DecideModify(volume).why.message()), HasSubstr("as the test has it"));
  volume = Wanted();
  SetApplied(volume, "Refused", 1);
  EXPECT_EQ(DecideModify(volume).kind, Kind::kPending) << "of an older spec";
  volume = Wanted();
  SetApplied(volume, "AgentUnavailable", 2);
  EXPECT_EQ(DecideModify(volume).kind, Kind::kPending);
  EXPECT_THAT(std::string(DecideModify(volume).why.message()), HasSubstr("AgentUnavailable"));
  volume.mutable_metadata()->mutable_deletion_timestamp();
  EXPECT_EQ(DecideModify(volume).why.code(), absl::StatusCode::kAborted);
}

}  // namespace
}  // namespace ashlar::csi_driver
