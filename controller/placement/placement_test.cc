#include "controller/placement/placement.h"

#include <algorithm>
#include <limits>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace ashlar::controller {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr int64_t kGi = int64_t{1} << 30;
constexpr int64_t kMi = int64_t{1} << 20;

NodeOffer Ready(std::string node, int64_t allocatable) {
  return {.node = std::move(node),
          .selected = true,
          .agent = AgentState::kHeard,
          .pool_ready = true,
          .allocatable_bytes = allocatable,
          .largest_bytes = allocatable,
          .certain_bytes = allocatable};
}

// A pool of several drives.
NodeOffer Drives(std::string node, int64_t allocatable, int64_t largest, int64_t certain) {
  NodeOffer offer = Ready(std::move(node), allocatable);
  offer.largest_bytes = largest;
  offer.certain_bytes = certain;
  return offer;
}

VolumeRequest Request(int64_t bytes) {
  return {.volume = "v", .pool = "fast", .size_bytes = bytes};
}

std::string PlacedOn(const PlacementOutcome& outcome) {
  const Plan* plan = std::get_if<Plan>(&outcome);
  return plan == nullptr ? "refused" : plan->assignments.at(0).node;
}

const Refusal& RefusalOf(const PlacementOutcome& outcome) { return std::get<Refusal>(outcome); }

struct Case {
  const char* name;
  std::vector<NodeOffer> offers;
  VolumeRequest request;
  const char* node;  // or "refused"
};

NodeOffer With(NodeOffer offer, void (*change)(NodeOffer&)) {
  change(offer);
  return offer;
}
VolumeRequest With(VolumeRequest request, void (*change)(VolumeRequest&)) {
  change(request);
  return request;
}

std::vector<Case> ChoiceCases() {
  const std::vector<NodeOffer> three = {Ready("a", 10 * kGi), Ready("b", 30 * kGi),
                                        Ready("c", 20 * kGi)};
  return {
      {"most free", three, Request(kGi), "b"},
      {"best fit", three,
       With(Request(kGi), [](VolumeRequest& r) { r.policy = PlacementPolicy::kBestFit; }), "a"},
      {"best fit that is enough", three,
       With(Request(15 * kGi), [](VolumeRequest& r) { r.policy = PlacementPolicy::kBestFit; }),
       "c"},
      {"exactly all bytes", three, Request(30 * kGi), "b"},
      {"one byte too many", three, Request(30 * kGi + 1), "refused"},
      {"equal bytes: the first name", {Ready("z", kGi), Ready("m", kGi)}, Request(kGi), "m"},
      {"equal bytes and best fit: the first name",
       {Ready("z", kGi), Ready("m", kGi)},
       With(Request(kGi), [](VolumeRequest& r) { r.policy = PlacementPolicy::kBestFit; }),
       "m"},
      {"allowed", three,
       With(Request(kGi),
            [](VolumeRequest& r) {
              r.allowed_nodes = {"a", "c"};
            }),
       "c"},
      {"allowed but unknown", three,
       With(Request(kGi), [](VolumeRequest& r) { r.allowed_nodes = {"x"}; }), "refused"},
      {"preferred before the roomiest", three,
       With(Request(kGi), [](VolumeRequest& r) { r.preferred_nodes = {"a"}; }), "a"},
      {"the first preferred that fits", three,
       With(Request(15 * kGi),
            [](VolumeRequest& r) {
              r.preferred_nodes = {"a", "c", "b"};
            }),
       "c"},
      {"no preferred one fits", three,
       With(Request(25 * kGi),
            [](VolumeRequest& r) {
              r.preferred_nodes = {"a", "c"};
            }),
       "b"},
      {"preferred but not allowed", three,
       With(Request(kGi),
            [](VolumeRequest& r) {
              r.preferred_nodes = {"b"};
              r.allowed_nodes = {"a"};
            }),
       "a"},
      {"named", three, With(Request(kGi), [](VolumeRequest& r) { r.node = "a"; }), "a"},
      {"named wins over allowed", three,
       With(Request(kGi),
            [](VolumeRequest& r) {
              r.node = "a";
              r.allowed_nodes = {"b"};
            }),
       "a"},
      {"named without room", three, With(Request(15 * kGi), [](VolumeRequest& r) { r.node = "a"; }),
       "refused"},
      {"no offers", {}, Request(1), "refused"},
      {"cordoned is skipped",
       {With(Ready("a", 9 * kGi), [](NodeOffer& o) { o.cordoned = true; }), Ready("b", kGi)},
       Request(kGi),
       "b"},
      {"cordoned but named",
       {With(Ready("a", 9 * kGi), [](NodeOffer& o) { o.cordoned = true; }), Ready("b", kGi)},
       With(Request(kGi), [](VolumeRequest& r) { r.node = "a"; }),
       "a"},
      {"not selected is skipped",
       {With(Ready("a", 9 * kGi), [](NodeOffer& o) { o.selected = false; }), Ready("b", kGi)},
       Request(kGi),
       "b"},
      {"silent is skipped",
       {With(Ready("a", 9 * kGi), [](NodeOffer& o) { o.agent = AgentState::kSilent; }),
        Ready("b", kGi)},
       Request(kGi),
       "b"},
      {"without agent is skipped",
       {With(Ready("a", 9 * kGi), [](NodeOffer& o) { o.agent = AgentState::kNone; }),
        Ready("b", kGi)},
       Request(kGi),
       "b"},
      {"pool not ready is skipped",
       {With(Ready("a", 9 * kGi), [](NodeOffer& o) { o.pool_ready = false; }), Ready("b", kGi)},
       Request(kGi),
       "b"},
      {"bytes below the granularity don't count",
       {Ready("a", 2 * kMi - 1)},
       Request(kMi + 1),
       "refused"},
      {"rounded up and it fits", {Ready("a", 2 * kMi)}, Request(kMi + 1), "a"},
      {"overdrawn", {Ready("a", -5 * kGi)}, Request(1), "refused"},
      {"on several drives the largest volume counts",
       {Drives("a", 40 * kGi, 10 * kGi, 10 * kGi), Ready("b", 20 * kGi)},
       Request(15 * kGi),
       "b"},
      {"exactly the largest volume",
       {Drives("a", 40 * kGi, 10 * kGi, 10 * kGi), Ready("b", 5 * kGi)},
       Request(10 * kGi),
       "a"},
      {"one byte more than the largest volume",
       {Drives("a", 40 * kGi, 10 * kGi, 10 * kGi)},
       Request(10 * kGi + 1),
       "refused"},
      {"named and larger than the largest volume",
       {Drives("a", 40 * kGi, 10 * kGi, 10 * kGi)},
       With(Request(15 * kGi), [](VolumeRequest& r) { r.node = "a"; }),
       "refused"},
      {"preferred but larger than its largest volume",
       {Drives("a", 40 * kGi, 10 * kGi, 10 * kGi), Ready("b", 20 * kGi)},
       With(Request(15 * kGi), [](VolumeRequest& r) { r.preferred_nodes = {"a"}; }),
       "b"},
      {"where it fits for certain before where it may fit",
       {Drives("a", 40 * kGi, 10 * kGi, 4 * kGi), Ready("b", 5 * kGi)},
       Request(5 * kGi),
       "b"},
      {"where it may fit if nowhere for certain",
       {Drives("a", 40 * kGi, 10 * kGi, 4 * kGi), Ready("b", 5 * kGi)},
       Request(6 * kGi),
       "a"},
      {"several drives: the bytes left decide among nodes where it fits",
       {Drives("a", 40 * kGi, 10 * kGi, 10 * kGi), Ready("b", 20 * kGi)},
       Request(kGi),
       "a"},
      {"the largest number",
       {Ready("a", kGi)},
       Request(std::numeric_limits<int64_t>::max()),
       "refused"},
  };
}

TEST(Placement, TakesTheNodeThatTheRulesName) {
  for (const Case& c : ChoiceCases()) {
    EXPECT_EQ(PlacedOn(Place(c.offers, c.request)), c.node) << c.name;
  }
}

TEST(Placement, AssignsTheBytesRoundedUp) {
  const PlacementOutcome outcome = Place({Ready("a", kGi)}, Request(kMi + 1));
  EXPECT_EQ(std::get<Plan>(outcome).assignments,
            (std::vector<Assignment>{{"v", "a", "fast", 2 * kMi}}));
}

TEST(Placement, TheOrderOfOffersDoesNotMatter) {
  std::vector<NodeOffer> offers = {Ready("a", kGi), Ready("b", 2 * kGi), Ready("c", 2 * kGi),
                                   Ready("d", kGi)};
  std::sort(offers.begin(), offers.end(),
            [](const NodeOffer& a, const NodeOffer& b) { return a.node < b.node; });
  do {
    EXPECT_EQ(PlacedOn(Place(offers, Request(kGi))), "b");
  } while (std::next_permutation(
      offers.begin(), offers.end(),
      [](const NodeOffer& a, const NodeOffer& b) { return a.node < b.node; }));
}

TEST(Refusal, NamesTheReasonOfEachNode) {
  std::vector<NodeOffer> offers = {Ready("room", 12 * kGi), Ready("less", 3 * kGi)};
  offers.push_back(With(Ready("cordoned", kGi), [](NodeOffer& o) { o.cordoned = true; }));
  offers.push_back(With(Ready("outside", kGi), [](NodeOffer& o) { o.selected = false; }));
  offers.push_back(With(Ready("silent", kGi), [](NodeOffer& o) {
    o.agent = AgentState::kSilent;
    o.agent_detail = "not heard for 45s";
  }));
  offers.push_back(With(Ready("bare", kGi), [](NodeOffer& o) { o.agent = AgentState::kNone; }));
  offers.push_back(With(Ready("broken", kGi), [](NodeOffer& o) {
    o.pool_ready = false;
    o.pool_reason = "DriveBusy";
    o.pool_message = "/dev/nvme0n1 has a partition table";
  }));
  const PlacementOutcome outcome = Place(offers, Request(20 * kGi));
  const Refusal& refusal = RefusalOf(outcome);
  EXPECT_EQ(refusal.kind, Refusal::Kind::kNoCapacity);
  EXPECT_EQ(refusal.largest_node, "room");
  EXPECT_EQ(refusal.largest_bytes, 12 * kGi);
  EXPECT_EQ(refusal.Explain(),
            "20Gi of pool fast fit on none of 7 nodes: room: needs 20Gi but 12Gi are allocatable; "
            "less: needs 20Gi but 3Gi are allocatable; "
            "broken: pool not ready: DriveBusy: /dev/nvme0n1 has a partition table; "
            "silent: its agent is silent: not heard for 45s; bare: runs no agent; "
            "cordoned: cordoned: takes no new volumes; outside: not selected by the pool. "
            "The largest volume that fits is 12Gi on node room.");
}

TEST(Refusal, SaysTheLargestVolumeOfSeveralDrives) {
  const PlacementOutcome outcome = Place(
      {Drives("eight", 40 * kGi, 10 * kGi, 4 * kGi), Ready("one", 12 * kGi)}, Request(20 * kGi));
  const Refusal& refusal = RefusalOf(outcome);
  EXPECT_EQ(refusal.largest_node, "one");
  EXPECT_EQ(refusal.largest_bytes, 12 * kGi);
  EXPECT_EQ(refusal.Explain(),
            "20Gi of pool fast fit on none of 2 nodes: one: needs 20Gi but 12Gi are allocatable; "
            "eight: needs 20Gi but the largest volume has 10Gi of the 40Gi that are allocatable. "
            "The largest volume that fits is 12Gi on node one.");
}

TEST(Refusal, CountsTheNodesThatItDoesNotName) {
  std::vector<NodeOffer> offers;
  for (int i = 0; i < 3000; ++i) offers.push_back(Ready(absl::StrCat("n", i), i * kMi));
  for (int i = 0; i < 500; ++i) {
    offers.push_back({.node = absl::StrCat("x", i)});
  }
  const std::string text = RefusalOf(Place(offers, Request(20 * kGi))).Explain();
  EXPECT_THAT(text, HasSubstr("fit on none of 3500 nodes: n2999: needs 20Gi but 2999Mi"));
  EXPECT_THAT(text, HasSubstr("; 2992 more without room; 500 more not selected by the pool."));
  EXPECT_LT(text.size(), 1500u);
}

TEST(Refusal, SaysNothingOfALargestVolumeWhereNoneFits) {
  EXPECT_THAT(RefusalOf(Place({Ready("a", 0)}, Request(kGi))).Explain(), Not(HasSubstr("largest")));
}

TEST(Refusal, NamesAllowedNodesThatDoNotExist) {
  const PlacementOutcome outcome = Place(
      {Ready("a", kGi)}, With(Request(kGi), [](VolumeRequest& r) { r.allowed_nodes = {"x"}; }));
  EXPECT_THAT(RefusalOf(outcome).Explain(), HasSubstr("x: no such node"));
}

TEST(Refusal, KindSaysWhatHasToChange) {
  NodeOffer full = Ready("full", 0);
  NodeOffer broken = With(Ready("broken", kGi), [](NodeOffer& o) { o.pool_ready = false; });
  NodeOffer silent =
      With(Ready("silent", kGi), [](NodeOffer& o) { o.agent = AgentState::kSilent; });
  NodeOffer outside = With(Ready("outside", kGi), [](NodeOffer& o) { o.selected = false; });
  auto kind = [](std::vector<NodeOffer> offers) {
    return RefusalOf(Place(offers, Request(kGi))).kind;
  };
  EXPECT_EQ(kind({full, broken, silent, outside}), Refusal::Kind::kNoCapacity);
  EXPECT_EQ(kind({broken, silent, outside}), Refusal::Kind::kPoolNotReady);
  EXPECT_EQ(kind({silent, outside}), Refusal::Kind::kAgentUnavailable);
  EXPECT_EQ(kind({outside}), Refusal::Kind::kNoCapacity);
  EXPECT_EQ(kind({}), Refusal::Kind::kNoCapacity);
}

TEST(FormatBytes, IsExactInTheLargestUnitThatDivides) {
  EXPECT_EQ(FormatBytes(0), "0");
  EXPECT_EQ(FormatBytes(1023), "1023");
  EXPECT_EQ(FormatBytes(1024), "1Ki");
  EXPECT_EQ(FormatBytes(1536 * kMi), "1536Mi");
  EXPECT_EQ(FormatBytes(20 * kGi), "20Gi");
  EXPECT_EQ(FormatBytes(20 * kGi + 1), "21474836481");
}

}  // namespace
}  // namespace ashlar::controller
