#include "lib/kube/event_recorder.h"

#include "gtest/gtest.h"
#include "lib/base/testing/simulated_clock.h"
#include "lib/kube/core_kinds.h"
#include "lib/kube/testing/fake_client.h"
#include "lib/kube/testing/flaky_client.h"

namespace ashlar::kube {
namespace {

const ObjectReference kClaim{"v1", "PersistentVolumeClaim", {"ns", "data"}, "uid-1"};
const ObjectReference kPool{"ashlar.dev/v1alpha1", "Pool", {"", "nvme"}, "uid-2"};

class EventRecorderTest : public ::testing::Test {
 protected:
  std::vector<Json> Events(const std::string& space) {
    recorder_.Flush();
    return api_.List({}, kEvent, {.space = space})->items;
  }

  SimulatedClock clock_;
  FakeClient api_{clock_};
  FlakyClient client_{api_};
  EventRecorder recorder_{client_, clock_, "ashlar-controller", "pod-1"};
};

TEST_F(EventRecorderTest, EventNamesItsObjectReasonAndReporter) {
  recorder_.Record(kClaim, EventType::kWarning, "NoCapacity", "no node has 10 GiB");
  const auto events = Events("ns");
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0]["involvedObject"], (Json{{"apiVersion", "v1"},
                                               {"kind", "PersistentVolumeClaim"},
                                               {"name", "data"},
                                               {"namespace", "ns"},
                                               {"uid", "uid-1"}}));
  EXPECT_EQ(events[0]["type"], "Warning");
  EXPECT_EQ(events[0]["reason"], "NoCapacity");
  EXPECT_EQ(events[0]["message"], "no node has 10 GiB");
  EXPECT_EQ(events[0]["source"]["component"], "ashlar-controller");
  EXPECT_EQ(events[0]["count"], 1);
}

TEST_F(EventRecorderTest, EventsOfClusterScopedObjectsLieInDefault) {
  recorder_.Record(kPool, EventType::kNormal, "Ready", "2 nodes");
  EXPECT_EQ(Events("default").size(), 1u);
}

TEST_F(EventRecorderTest, RepetitionWithinTenMinutesRaisesTheCount) {
  recorder_.Record(kClaim, EventType::kNormal, "Carved", "on n1");
  clock_.Advance(absl::Minutes(9));
  recorder_.Record(kClaim, EventType::kNormal, "Carved", "on n1");
  recorder_.Record(kClaim, EventType::kNormal, "Carved", "on n2");
  auto events = Events("ns");
  ASSERT_EQ(events.size(), 2u) << "another message is another event";
  EXPECT_EQ(events[0]["count"].get<int>() + events[1]["count"].get<int>(), 3);
  clock_.Advance(absl::Minutes(10));
  recorder_.Record(kClaim, EventType::kNormal, "Carved", "on n1");
  EXPECT_EQ(Events("ns").size(), 3u);
}

TEST_F(EventRecorderTest, FailureToSendLosesOneEventOnly) {
  client_.FailNext("apply", absl::PermissionDeniedError("no"));
  recorder_.Record(kClaim, EventType::kNormal, "First", "lost");
  recorder_.Record(kClaim, EventType::kNormal, "Second", "arrives");
  EXPECT_EQ(Events("ns").size(), 1u);
}

TEST_F(EventRecorderTest, LongMessageIsCutAtACharacter) {
  recorder_.Record(kClaim, EventType::kNormal, "Long",
                   std::string(1023, 'x') + "\xC3\xA9 and more");
  const auto events = Events("ns");
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0]["message"], std::string(1023, 'x'));
}

}  // namespace
}  // namespace ashlar::kube
