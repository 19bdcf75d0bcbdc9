#include "controller/composer/gang.h"

#include <algorithm>
#include <random>

#include "absl/strings/str_cat.h"
#include "controller/composer/testing/device_scene.h"
#include "gtest/gtest.h"

namespace ashlar::composer {
namespace {

constexpr Enforcement kRequired = Enforcement::kRequired;
constexpr Enforcement kPreferred = Enforcement::kPreferred;

// `racks` racks of `each` nodes.
Inventory Racks(int racks, int each) {
  Inventory inventory{{A100Layout()}, {}};
  for (int r = 0; r < racks; ++r) {
    for (int n = 0; n < each; ++n) {
      inventory.nodes.push_back(TwoSockets(absl::StrCat("r", r, "n", n)));
      inventory.nodes.back().labels = {{"rack", absl::StrCat("r", r)}};
    }
  }
  return inventory;
}

GangRequest Workers(int replicas, int gpus, int64_t bytes) {
  return {.members = {{GpusAndVolume(gpus, bytes, Level::kSwitch, kRequired), replicas}}};
}

GangPlan Placed(const Inventory& inventory, const GangRequest& request) {
  const GangOutcome outcome = PlaceGang(inventory, request);
  if (const GangRefusal* refusal = std::get_if<GangRefusal>(&outcome)) {
    ADD_FAILURE() << refusal->Explain();
    return {};
  }
  GangPlan plan = std::get<GangPlan>(outcome);
  EXPECT_EQ(WrongIn(inventory, request, plan), "");
  return plan;
}

std::string Refused(const Inventory& inventory, const GangRequest& request) {
  const GangOutcome outcome = PlaceGang(inventory, request);
  const GangRefusal* refusal = std::get_if<GangRefusal>(&outcome);
  return refusal == nullptr ? "" : refusal->Explain();
}

TEST(PlaceGang, PacksIntoFewNodesAndOneDomain) {
  GangRequest request = Workers(12, 1, 400 * kGi);
  request.preferred_label = "rack";
  const GangPlan plan = Placed(Racks(3, 4), request);
  EXPECT_EQ(plan.cost, (GangCost{0, 1, 0, 2}));
  EXPECT_TRUE(plan.proven);
}

TEST(PlaceGang, TakesTheTightestDomainThatHoldsAll) {
  Inventory inventory = Racks(3, 2);
  for (Gpu& gpu : inventory.nodes[2].gpus) gpu.taken = true;  // r1 has one node left
  GangRequest request = Workers(8, 1, 400 * kGi);
  request.required_label = "rack";
  const GangPlan plan = Placed(inventory, request);
  EXPECT_EQ(inventory.nodes[plan.members[0].node].name, "r1n1");
}

TEST(PlaceGang, ARequiredDomainIsNeverLeft) {
  GangRequest request = Workers(17, 1, 400 * kGi);
  request.required_label = "rack";
  EXPECT_EQ(Refused(Racks(3, 2), request),
            "16 of 17 members fit, with rack r0. Node r0n0 and 5 alike, after 8 of worker: gpu: 1 "
            "GPU: none is free.");
  request.required_label = "";
  request.preferred_label = "rack";
  EXPECT_EQ(Placed(Racks(3, 2), request).cost, (GangCost{0, 2, 0, 3}));
}

TEST(PlaceGang, WithFewerMembersAsManyAsFitArePlaced) {
  GangRequest request = Workers(20, 1, 400 * kGi);
  request.required_label = "rack";
  request.min_members = 10;
  EXPECT_EQ(Placed(Racks(3, 2), request).cost.left_out, 4);
}

TEST(PlaceGang, RanksFollowDomainsAndNodes) {
  GangRequest request = Workers(10, 4, 400 * kGi);
  request.members[0].request.constraints[0].level = Level::kNuma;
  request.rank_labels = {"rack"};
  const Inventory inventory = Racks(3, 2);
  const GangPlan plan = Placed(inventory, request);
  std::string order;
  for (size_t i = 0; i < plan.members.size(); ++i) {
    EXPECT_EQ(plan.members[i].rank, static_cast<int>(i));
    EXPECT_EQ(plan.members[i].index, static_cast<int>(i));
    order += inventory.nodes[plan.members[i].node].name + " ";
  }
  EXPECT_EQ(order, "r0n0 r0n0 r0n1 r0n1 r1n0 r1n0 r1n1 r1n1 r2n0 r2n0 ");
}

TEST(PlaceGang, TheOrderOfTheNodesDoesNotMatter) {
  Inventory inventory = Racks(3, 3);
  for (size_t i = 0; i < inventory.nodes.size(); ++i) {
    inventory.nodes[i].gpus[i % 8].taken = true;  // in different states, equally good
  }
  GangRequest request = Workers(6, 2, 300 * kGi);
  request.preferred_label = "rack";
  auto print = [&](const Inventory& nodes) {
    std::string text;
    for (const PlacedMember& member : Placed(nodes, request).members) {
      absl::StrAppend(&text, nodes.nodes[member.node].name, ":", member.grants.gpus[0].gpu, ",",
                      member.grants.gpus[1].gpu, ",", member.grants.drives[0].drive, " ");
    }
    return text;
  };
  const std::string first = print(inventory);
  std::mt19937 random(1);
  for (int round = 0; round < 20; ++round) {
    std::shuffle(inventory.nodes.begin(), inventory.nodes.end(), random);
    ASSERT_EQ(print(inventory), first);
  }
}

TEST(PlaceGang, MembersOfSeveralKindsShareANode) {
  Inventory inventory = Racks(1, 1);
  GangRequest request = Workers(3, 2, 400 * kGi);
  request.members.push_back({{.name = "slice",
                              .gpus = {{.name = "gpu", .profile = "3g.40gb"}},
                              .drives = {{.name = "scratch", .bytes = 900 * kGi}},
                              .constraints = {{{"gpu", "scratch"}, Level::kSwitch, kRequired}}},
                             2});
  EXPECT_EQ(Placed(inventory, request).members.size(), 5U);
  request.members[1].replicas = 3;
  EXPECT_NE(Refused(inventory, request), "");
}

TEST(PlaceGang, SlicesOfAGangFillGpusBeforeTheyOpenOthers) {
  const Inventory inventory = Racks(1, 2);
  const GangRequest request = {
      .members = {{{.name = "slice", .gpus = {{.name = "gpu", .profile = "1g.10gb"}}}, 7}}};
  for (const PlacedMember& member : Placed(inventory, request).members) {
    EXPECT_EQ(member.node, 0);
    EXPECT_EQ(member.grants.gpus[0].gpu, 0);
  }
}

TEST(PlaceGang, RefusalsNameTheNodeAndTheNearestFitWordForWord) {
  Inventory inventory = Racks(1, 3);
  inventory.nodes[0].problem = "cordoned";
  for (Drive& drive : inventory.nodes[1].drives) drive.allocatable_bytes = 300 * kGi;
  for (int i = 0; i < 6; ++i) inventory.nodes[2].gpus[i].taken = true;
  inventory.nodes[2].drives[6].allocatable_bytes = 310 * kGi;
  inventory.nodes[2].drives[7].allocatable_bytes = 100 * kGi;
  EXPECT_EQ(
      Refused(inventory, Workers(1, 1, 500 * kGi)),
      "0 of 1 member fits. "
      "Node r0n1, worker: scratch: 500Gi: no drive has so much left; largest scratch that "
      "fits: 300Gi. "
      "Node r0n2, worker: gpu and scratch within Switch: best level there is: NUMANode; largest "
      "scratch that fits: 310Gi. "
      "Node r0n0: the node: cordoned.");
}

TEST(PlaceGang, AnEmptyGangHasAnEmptyPlan) { EXPECT_TRUE(Placed(Racks(1, 1), {}).members.empty()); }

TEST(PlaceGang, MissedLevelsComeBeforeNodes) {
  Inventory inventory = Racks(1, 2);
  for (NodeDevices& node : inventory.nodes) {
    node.gpus.resize(4);
    node.drives.resize(2);  // beside the first two GPUs alone
  }
  const GangRequest request = {
      .members = {{GpusAndVolume(1, 100 * kGi, Level::kSwitch, kPreferred), 4}}};
  EXPECT_EQ(Placed(inventory, request).cost, (GangCost{0, 0, 0, 2}));
}

}  // namespace
}  // namespace ashlar::composer
