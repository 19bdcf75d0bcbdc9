#include "csi/topology.h"

#include "csi/names.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/base/clock.h"
#include "lib/kube/core_kinds.h"
#include "lib/kube/testing/fake_client.h"

namespace ashlar::csi_driver {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr char kZone[] = "topology.kubernetes.io/zone";

csi::v1::Topology Segments(const std::map<std::string, std::string>& segments) {
  csi::v1::Topology topology;
  topology.mutable_segments()->insert(segments.begin(), segments.end());
  return topology;
}

TEST(Topology, ANodeStandsForItselfWhateverElseIsSaid) {
  const auto term = ReadTopology("t", Segments({{kTopologyKey, "n1"}, {kZone, "a"}}));
  ASSERT_TRUE(term.ok()) << term.status();
  EXPECT_EQ(*term, (TopologyTerm{"n1", ""}));
}

TEST(Topology, LabelsBecomeASelectorAndNothingElseDoes) {
  EXPECT_EQ(ReadTopology("t", Segments({{kZone, "a"}, {"rack", "7"}}))->label_selector,
            "rack=7,topology.kubernetes.io/zone=a");
  for (const auto& [key, value] : std::map<std::string, std::string>{
           {"a b", "c"}, {"zone", "a,b"}, {"a/b/c", "d"}, {"/b", "c"}, {"zone", "-"}, {"", "x"}}) {
    EXPECT_TRUE(absl::IsInvalidArgument(ReadTopology("t", Segments({{key, value}})).status()))
        << key << "=" << value;
  }
}

TEST(Topology, AZoneMeansItsNodesInOrderAndEachOnce) {
  RealClock clock;
  kube::FakeClient kube(clock);
  for (const auto& [name, zone] :
       std::map<std::string, std::string>{{"n3", "a"}, {"n1", "b"}, {"n2", "a"}}) {
    kube.Put(kube::kNode, {{"metadata", {{"name", name}, {"labels", {{kZone, zone}}}}}});
  }
  const std::string a = "topology.kubernetes.io/zone=a";
  EXPECT_THAT(*NodesOf({}, kube, {{"", a}}), ElementsAre("n2", "n3"));
  EXPECT_THAT(*NodesOf({}, kube, {{"n3", ""}, {"", a}, {"n9", ""}}), ElementsAre("n3", "n2", "n9"));
  EXPECT_THAT(*NodesOf({}, kube, {{"", "topology.kubernetes.io/zone=c"}}), IsEmpty());
}

TEST(Topology, FlagsGiveSegmentsAndLeaveOutWhatIsEmpty) {
  const auto segments = ParseSegments({"topology.kubernetes.io/zone=a", "rack=", "rack=7"});
  ASSERT_TRUE(segments.ok()) << segments.status();
  EXPECT_THAT(*segments, ElementsAre(std::pair("rack", "7"), std::pair(kZone, "a")));
  for (const char* flag : {"zone", "zone=a b", "topology.ashlar.dev/node=n1"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(ParseSegments({flag}).status())) << flag;
  }
  EXPECT_TRUE(absl::IsInvalidArgument(ParseSegments({"zone=a", "zone=b"}).status()));
}

}  // namespace
}  // namespace ashlar::csi_driver
