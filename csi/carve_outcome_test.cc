#include "csi/carve_outcome.h"

#include "gtest/gtest.h"

namespace ashlar::csi_driver {
namespace {

using Kind = CarveOutcome::Kind;

struct Case {
  const char* what;
  const char* status;  // of Carved; nullptr: no condition
  const char* reason;
  int64_t observed;
  int64_t carved_bytes;
  Kind kind;
  absl::StatusCode code;
};

// The spec asks for 100 bytes in generation 2.
v1alpha1::Volume Make(const Case& c) {
  v1alpha1::Volume volume;
  volume.mutable_metadata()->set_name("v1");
  volume.mutable_metadata()->set_generation(2);
  volume.mutable_spec()->set_size(100);
  volume.mutable_spec()->set_node_name("n1");
  if (c.carved_bytes > 0) volume.mutable_status()->set_size(c.carved_bytes);
  if (c.status != nullptr) {
    k8s::Condition& condition = *volume.mutable_status()->add_conditions();
    condition.set_type("Carved");
    condition.set_status(c.status);
    condition.set_reason(c.reason);
    condition.set_observed_generation(c.observed);
  }
  return volume;
}

TEST(CarveOutcome, FollowsTheConditionOfThePresentGeneration) {
  using absl::StatusCode;
  const StatusCode wait = StatusCode::kDeadlineExceeded;
  for (const Case& c : std::vector<Case>{
           {"nothing yet", nullptr, "", 0, 0, Kind::kPending, wait},
           {"carved", "True", "Carved", 2, 100, Kind::kCarved, StatusCode::kOk},
           {"carved larger", "True", "Carved", 1, 128, Kind::kCarved, StatusCode::kOk},
           {"not grown yet", "True", "Carved", 1, 50, Kind::kPending, wait},
           {"no room", "False", "NoCapacity", 2, 0, Kind::kRefused, StatusCode::kResourceExhausted},
           {"no room to grow", "False", "NoCapacity", 2, 50, Kind::kRefused,
            StatusCode::kResourceExhausted},
           {"no room, of an older spec", "False", "NoCapacity", 1, 0, Kind::kPending, wait},
           {"invalid", "False", "InvalidVolume", 2, 0, Kind::kRefused,
            StatusCode::kInvalidArgument},
           {"no pool", "False", "PoolNotFound", 2, 0, Kind::kRefused,
            StatusCode::kFailedPrecondition},
           {"pool not ready", "False", "PoolNotReady", 2, 0, Kind::kPending, wait},
           {"agent away", "False", "AgentUnavailable", 2, 0, Kind::kPending, wait},
           {"failed", "False", "CarveFailed", 2, 0, Kind::kPending, wait},
           {"unknown", "Unknown", "Carving", 2, 0, Kind::kPending, wait},
       }) {
    const CarveOutcome outcome = DecideCarve(Make(c));
    EXPECT_EQ(outcome.kind, c.kind) << c.what;
    EXPECT_EQ(outcome.why.code(), c.code) << c.what;
  }
}

TEST(CarveOutcome, AVolumeThatIsBeingDeletedIsBusy) {
  v1alpha1::Volume volume = Make({"", "True", "Carved", 2, 100, Kind::kCarved, {}});
  volume.mutable_metadata()->mutable_deletion_timestamp()->set_seconds(1);
  EXPECT_EQ(DecideCarve(volume).why.code(), absl::StatusCode::kAborted);
}

}  // namespace
}  // namespace ashlar::csi_driver
