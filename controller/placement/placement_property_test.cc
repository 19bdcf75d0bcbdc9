// Placement against a search that tries every node and shares no code with it.
#include <algorithm>
#include <random>

#include "controller/placement/placement.h"
#include "gtest/gtest.h"

namespace ashlar::controller {
namespace {

constexpr int64_t kMi = int64_t{1} << 20;

bool OneIn(std::mt19937& random, int n) { return random() % n == 0; }

std::vector<std::string> SomeNodes(std::mt19937& random, int nodes) {
  std::vector<std::string> names;
  for (int i = 0; i < nodes; ++i) {
    if (OneIn(random, 3)) names.push_back("n" + std::to_string(random() % (nodes + 1)));
  }
  return names;
}

std::vector<NodeOffer> RandomOffers(std::mt19937& random, int nodes) {
  std::vector<NodeOffer> offers;
  for (int i = 0; i < nodes; ++i) {
    offers.push_back({.node = "n" + std::to_string(i),
                      .selected = !OneIn(random, 5),
                      .cordoned = OneIn(random, 5),
                      .agent = OneIn(random, 6) ? AgentState::kSilent : AgentState::kHeard,
                      .pool_ready = !OneIn(random, 6),
                      // Few values, so that ties are common; some are not multiples of 1 MiB.
                      .allocatable_bytes = static_cast<int64_t>(random() % 6) * kMi / 2});
    NodeOffer& offer = offers.back();
    offer.largest_bytes =
        OneIn(random, 4) ? static_cast<int64_t>(random() % 6) * kMi / 2 : offer.allocatable_bytes;
    offer.largest_bytes = std::min(offer.largest_bytes, offer.allocatable_bytes);
    offer.certain_bytes = OneIn(random, 2) ? offer.largest_bytes : offer.largest_bytes / 2;
  }
  std::shuffle(offers.begin(), offers.end(), random);
  return offers;
}

VolumeRequest RandomRequest(std::mt19937& random, int nodes) {
  VolumeRequest request{.volume = "v", .pool = "p"};
  request.size_bytes = 1 + static_cast<int64_t>(random() % (3 * kMi));
  if (OneIn(random, 6)) request.node = "n" + std::to_string(random() % (nodes + 1));
  if (OneIn(random, 2)) request.allowed_nodes = SomeNodes(random, nodes);
  if (OneIn(random, 2)) request.preferred_nodes = SomeNodes(random, nodes);
  request.policy = OneIn(random, 2) ? PlacementPolicy::kMostFree : PlacementPolicy::kBestFit;
  return request;
}

bool Fits(const NodeOffer& o, const VolumeRequest& r) {
  if (!o.selected || o.agent != AgentState::kHeard || !o.pool_ready) return false;
  if (!r.node.empty()) {
    if (o.node != r.node) return false;
  } else {
    if (o.cordoned) return false;
    if (!r.allowed_nodes.empty() &&
        std::count(r.allowed_nodes.begin(), r.allowed_nodes.end(), o.node) == 0) {
      return false;
    }
  }
  int64_t blocks = 0;
  while (blocks * kMi < r.size_bytes) ++blocks;
  return o.largest_bytes >= blocks * kMi;
}

// Every node in the order in which the rules would take it, the best first.
std::string BruteForce(std::vector<NodeOffer> offers, const VolumeRequest& r) {
  std::erase_if(offers, [&](const NodeOffer& o) { return !Fits(o, r); });
  if (offers.empty()) return "refused";
  std::vector<NodeOffer> certain;
  for (const NodeOffer& o : offers)
    if (o.certain_bytes / kMi * kMi >= r.size_bytes) certain.push_back(o);
  if (!certain.empty()) offers = certain;
  auto rank = [&](const NodeOffer& o) {
    auto at = std::find(r.preferred_nodes.begin(), r.preferred_nodes.end(), o.node);
    const int64_t sign = r.policy == PlacementPolicy::kMostFree ? -1 : 1;
    return std::make_tuple(at - r.preferred_nodes.begin(), sign * o.allocatable_bytes, o.node);
  };
  std::sort(offers.begin(), offers.end(),
            [&](const NodeOffer& a, const NodeOffer& b) { return rank(a) < rank(b); });
  return offers.front().node;
}

TEST(PlacementProperty, EqualsBruteForce) {
  std::mt19937 random(20260101);
  int placed = 0;
  constexpr int kRounds = 20000;
  for (int round = 0; round < kRounds; ++round) {
    const int nodes = static_cast<int>(random() % 7);
    const std::vector<NodeOffer> offers = RandomOffers(random, nodes);
    const VolumeRequest request = RandomRequest(random, nodes);
    const PlacementOutcome outcome = Place(offers, request);
    const Plan* plan = std::get_if<Plan>(&outcome);
    const std::string got = plan == nullptr ? "refused" : plan->assignments.at(0).node;
    ASSERT_EQ(got, BruteForce(offers, request)) << "round " << round;
    if (plan != nullptr) {
      ++placed;
      continue;
    }
    // A refusal says something of every node.
    const Refusal& refusal = std::get<Refusal>(outcome);
    for (const NodeOffer& offer : offers) {
      ASSERT_EQ(std::count_if(refusal.nodes.begin(), refusal.nodes.end(),
                              [&](const NodeRefusal& n) { return n.node == offer.node; }),
                1);
    }
  }
  // Both outcomes were tried often.
  EXPECT_GT(placed, kRounds / 6);
  EXPECT_LT(placed, kRounds * 4 / 5);
}

TEST(PlacementProperty, TheLargestThatFitsReallyFits) {
  std::mt19937 random(7);
  for (int round = 0; round < 5000; ++round) {
    const std::vector<NodeOffer> offers = RandomOffers(random, 5);
    VolumeRequest request = RandomRequest(random, 5);
    const PlacementOutcome outcome = Place(offers, request);
    const Refusal* refusal = std::get_if<Refusal>(&outcome);
    if (refusal == nullptr) continue;
    request.size_bytes = refusal->largest_bytes;
    if (refusal->largest_bytes > 0) {
      ASSERT_TRUE(std::holds_alternative<Plan>(Place(offers, request)));
    }
    request.size_bytes = refusal->largest_bytes + 1;
    ASSERT_TRUE(std::holds_alternative<Refusal>(Place(offers, request)));
  }
}

}  // namespace
}  // namespace ashlar::controller
