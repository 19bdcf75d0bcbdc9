#include "controller/composer/member_fit.h"

#include "controller/composer/misfit.h"
#include "controller/composer/testing/device_scene.h"
#include "gtest/gtest.h"

namespace ashlar::composer {
namespace {

constexpr Enforcement kRequired = Enforcement::kRequired;
constexpr Enforcement kPreferred = Enforcement::kPreferred;

const std::vector<MigLayout> kLayouts = {A100Layout()};

TEST(LevelBetween, IsTheNearestThatBothShare) {
  EXPECT_EQ(LevelBetween({1, 1, 0}, {1, 2, 1}), Level::kSwitch);
  EXPECT_EQ(LevelBetween({1, 1, 0}, {2, 1, 1}), Level::kRoot);
  EXPECT_EQ(LevelBetween({1, 1, 0}, {2, 2, 0}), Level::kNuma);
  EXPECT_EQ(LevelBetween({1, 1, 0}, {2, 2, 1}), Level::kSystem);
  EXPECT_EQ(LevelBetween({}, {}), Level::kSystem);
}

TEST(FitMember, EachLevelIsReachedInTurnAsNearerDrivesFillUp) {
  NodeDevices node = TwoSockets("n1");
  node.gpus.resize(1);
  for (int i = 4; i < 6; ++i) node.drives[i].place.pcie_root = 0;  // as if below the GPU's root
  const MemberRequest request = GpusAndVolume(1, 600 * kGi, Level::kSwitch, kPreferred);
  std::vector<Level> reached;
  while (const auto fit = FitMember(node, kLayouts, request)) {
    reached.push_back(fit->reached.at(0));
    node.drives[fit->grants.drives.at(0).drive].allocatable_bytes -= 600 * kGi;
  }
  const std::vector<Level> expected = {Level::kSwitch, Level::kSwitch, Level::kRoot,
                                       Level::kRoot,   Level::kNuma,   Level::kNuma,
                                       Level::kSystem, Level::kSystem};
  EXPECT_EQ(reached, expected);
}

TEST(FitMember, BacktracksToThePairThatTheFirstChoiceWouldBreak) {
  NodeDevices node = TwoSockets("n1");
  // Only the GPU at the last switch has a drive beside it.
  for (int i = 0; i < 7; ++i) node.drives[i].allocatable_bytes = 0;
  const auto fit =
      FitMember(node, kLayouts, GpusAndVolume(2, 500 * kGi, Level::kSwitch, kRequired));
  ASSERT_TRUE(fit.has_value());
  EXPECT_EQ(fit->grants.gpus[0].gpu, 6);
  EXPECT_EQ(fit->grants.gpus[1].gpu, 7);
  EXPECT_EQ(fit->grants.drives[0].drive, 7);
}

TEST(FitMember, VolumesGoToTheFullestDriveAndSlicesToTheMostUsedGpu) {
  NodeDevices node = TwoSockets("n1");
  node.drives[5].allocatable_bytes = 600 * kGi;
  const int small = kLayouts[0].Find("1g.10gb");
  kLayouts[0].Take(node.gpus[3].used, small, {6, 1});
  const auto fit = FitMember(node, kLayouts,
                             {.gpus = {{.name = "gpu", .profile = "2g.20gb"}},
                              .drives = {{.name = "v", .bytes = 500 * kGi}}});
  ASSERT_TRUE(fit.has_value());
  EXPECT_EQ(fit->grants.gpus[0].gpu, 3);
  EXPECT_EQ(fit->grants.gpus[0].placement, (MigPlacement{4, 2}));
  EXPECT_EQ(fit->grants.drives[0].drive, 5);
}

TEST(FitMember, SelectorsKindsCliquesAndProblemsAreHeeded) {
  NodeDevices node = TwoSockets("n1");
  node.gpus[0].problem = "XID 79";
  node.gpus[2].product = "H100";
  for (int i = 0; i < 8; ++i) node.gpus[i].clique = i % 2;
  node.drives[4].kinds = {"Namespace"};
  auto first_gpu = [&](GpuRequest request) {
    const auto fit = FitMember(node, kLayouts, {.gpus = {std::move(request)}});
    return fit ? fit->grants.gpus[0].gpu : -1;
  };
  EXPECT_EQ(first_gpu({.name = "gpu"}), 1);
  EXPECT_EQ(first_gpu({.name = "gpu", .products = {"H100"}}), 2);
  EXPECT_EQ(first_gpu({.name = "gpu", .gpus = {"gpu5"}}), 5);
  EXPECT_EQ(first_gpu({.name = "gpu", .gpus = {"gpu0"}}), -1);
  EXPECT_EQ(first_gpu({.name = "gpu", .count = 3, .one_clique = true}), 1);
  EXPECT_EQ(first_gpu({.name = "gpu", .count = 5, .one_clique = true}), -1);
  const auto fit = FitMember(node, kLayouts, {.drives = {{"v", kGi, "Namespace"}}});
  ASSERT_TRUE(fit.has_value());
  EXPECT_EQ(fit->grants.drives[0].drive, 4);
}

TEST(FitMember, AWholeDriveIsAnEmptyOneAndAllOfIt) {
  NodeDevices node = TwoSockets("n1");
  for (int i = 0; i < 7; ++i) node.drives[i].allocatable_bytes -= 1;
  MemberRequest request = {.drives = {{.name = "v", .bytes = kGi, .whole_drive = true}}};
  const auto fit = FitMember(node, kLayouts, request);
  ASSERT_TRUE(fit.has_value());
  EXPECT_EQ(fit->grants.drives, (std::vector<DriveGrant>{{0, 7, 1000 * kGi}}));
  request.drives.push_back({.name = "w", .bytes = kGi, .whole_drive = true});
  EXPECT_FALSE(FitMember(node, kLayouts, request).has_value());
}

TEST(FitMember, ANicIsPartOfConstraintsAndNotGivenMoreOftenThanItIsFree) {
  NodeDevices node = TwoSockets("n1");
  node.nics = {{"nic0", {3, 3, 1}, "", 1}};
  MemberRequest request = {.gpus = {{.name = "gpu"}},
                           .nics = {{"nic"}},
                           .constraints = {{{"gpu", "nic"}, Level::kSwitch, kRequired}}};
  const auto fit = FitMember(node, kLayouts, request);
  ASSERT_TRUE(fit.has_value());
  EXPECT_EQ(fit->grants.gpus[0].gpu, 6);
  node.nics[0].free = 0;
  EXPECT_EQ(ExplainMisfit(node, kLayouts, request)[0].Sentence(), "nic: 1 NIC: none is such");
}

// Two of 400 Gbit/s with RDMA at the first two switches, a slower Ethernet one at the last.
std::vector<Nic> ThreeNics() {
  Nic fast{"nic0", {0, 0, 0}, "", 100, true, "InfiniBand", 400'000};
  Nic second = fast, slow = fast;
  second.name = "nic1";
  second.place = {1, 0, 0};
  slow.name = "nic2";
  slow.place = {3, 1, 1};
  slow.rdma = false;
  slow.link_layer = "Ethernet";
  slow.speed_mbits = 25'000;
  return {fast, second, slow};
}

TEST(FitMember, NicsAreSharedAndThoseOfOneRequestDiffer) {
  NodeDevices node = TwoSockets("n1");
  node.nics = ThreeNics();
  MemberRequest request = {.nics = {{.name = "nic", .count = 2, .rdma = true}}};
  auto fit = FitMember(node, kLayouts, request);
  ASSERT_TRUE(fit.has_value());
  EXPECT_EQ(fit->grants.nics, (std::vector<NicGrant>{{0, 0}, {0, 1}}));
  request.nics = {{.name = "a"}, {.name = "b", .min_speed_mbits = 400'000}};
  request.constraints = {{{"a", "b"}, Level::kSwitch, kRequired}};
  fit = FitMember(node, kLayouts, request);
  ASSERT_TRUE(fit.has_value());
  EXPECT_EQ(fit->grants.nics, (std::vector<NicGrant>{{0, 0}, {1, 0}})) << "two requests may share";
}

TEST(FitMember, OfEqualNicsThoseThatFewerUseAreTaken) {
  NodeDevices node = TwoSockets("n1");
  node.nics = ThreeNics();
  node.nics[0].free = 99;
  const auto fit = FitMember(node, kLayouts, {.nics = {{.name = "nic", .rdma = true}}});
  ASSERT_TRUE(fit.has_value());
  EXPECT_EQ(fit->grants.nics[0].nic, 1);
}

std::string Explained(const NodeDevices& node, const MemberRequest& request) {
  EXPECT_FALSE(FitMember(node, kLayouts, request).has_value());
  std::string text;
  for (const Misfit& misfit : ExplainMisfit(node, kLayouts, request)) {
    text += misfit.Sentence() + ".";
  }
  return text;
}

TEST(ExplainMisfit, SaysWhichConstraintFailedAndTheNearestThatWouldFit) {
  NodeDevices node = TwoSockets("n1");
  for (int i = 2; i < 8; ++i) node.gpus[i].taken = true;
  node.drives[0].allocatable_bytes = 310 * kGi;
  node.drives[1].allocatable_bytes = 120 * kGi;
  EXPECT_EQ(
      Explained(node, GpusAndVolume(1, 500 * kGi, Level::kSwitch, kRequired)),
      "gpu and scratch within Switch: best level there is: NUMANode; largest scratch that fits: "
      "310Gi.");
  EXPECT_EQ(Explained(node, GpusAndVolume(3, 500 * kGi, Level::kSwitch, kRequired)),
            "gpu: 3 GPU: only 2 are free.");
  EXPECT_EQ(Explained(node, {.drives = {{"v", 2000 * kGi}}}),
            "v: 2000Gi: no drive has so much left; largest v that fits: 1000Gi.");
  EXPECT_EQ(Explained(node, {.drives = {{"v", kGi, "Namespace"}}}),
            "v: 1Gi of pool Namespace: no usable drive can hold it.");
  EXPECT_EQ(Explained(node, {.gpus = {{.name = "gpu", .products = {"B200", "H100"}}}}),
            "gpu: 1 GPU of B200 or H100: no usable GPU can give it.");
  EXPECT_EQ(Explained(node, {.gpus = {{.name = "a", .count = 1}, {.name = "b", .count = 2}}}),
            "all requests together: each fits by itself, but not all of them.");
}

TEST(ExplainMisfit, NamesTheLargestProfileThatFits) {
  NodeDevices node = TwoSockets("n1");
  node.gpus.resize(1);
  kLayouts[0].Take(node.gpus[0].used, kLayouts[0].Find("1g.10gb"), {1, 1});
  kLayouts[0].Take(node.gpus[0].used, kLayouts[0].Find("1g.10gb"), {6, 1});
  EXPECT_EQ(Explained(node, {.gpus = {{.name = "gpu", .profile = "3g.40gb"}}}),
            "gpu: 1 3g.40gb: none is free; largest that fits: 2g.20gb.");
}

TEST(ExplainMisfit, OfNicsItSaysWhichWishIsInTheWay) {
  NodeDevices node = TwoSockets("n1");
  node.nics = ThreeNics();
  const auto explained = [&](NicRequest request) {
    return Explained(node, {.nics = {std::move(request)}});
  };
  EXPECT_EQ(explained({.name = "ib", .rdma = true, .min_speed_mbits = 800'000}),
            "ib: 1 NIC with RDMA from 800 Gbit/s: none is such; fastest that fits: 400 Gbit/s.");
  EXPECT_EQ(explained({.name = "ib", .count = 3, .min_speed_mbits = 100'000}),
            "ib: 3 NICs from 100 Gbit/s: only 2 are such; fastest that fits: 25 Gbit/s.");
  EXPECT_EQ(explained({.name = "eth", .rdma = true, .link_layer = "Ethernet"}),
            "eth: 1 NIC of Ethernet with RDMA: none is such; it would fit with InfiniBand.");
  EXPECT_EQ(explained({.name = "ib", .count = 3, .rdma = true}),
            "ib: 3 NICs with RDMA: only 2 are such; it would fit without RDMA.");
  EXPECT_EQ(explained({.name = "ib", .count = 4}), "ib: 4 NICs: only 3 are such.");
  for (Nic& nic : node.nics) nic.problem = "no link is up";
  EXPECT_EQ(explained({.name = "eth", .link_layer = "Ethernet"}),
            "eth: 1 NIC of Ethernet: none is such: nic2 would be: no link is up.");
  node.nics = ThreeNics();
  MemberRequest request = {.gpus = {{.name = "gpu"}}, .nics = {{.name = "ib", .rdma = true}}};
  request.constraints = {{{"gpu", "ib"}, Level::kSwitch, kRequired}};
  node.gpus.erase(node.gpus.begin(), node.gpus.begin() + 4);
  EXPECT_EQ(Explained(node, request), "gpu and ib within Switch: best level there is: System.");
}

TEST(ExplainMisfit, ConstraintsThatOnlyTogetherAreInTheWayAreAllNamed) {
  NodeDevices node = TwoSockets("n1");
  node.nics = {{"nic0", {0, 0, 0}, "", 1}};
  node.gpus.erase(node.gpus.begin(), node.gpus.begin() + 2);        // at the other switches
  node.drives.erase(node.drives.begin(), node.drives.begin() + 2);  // likewise
  MemberRequest request = GpusAndVolume(1, kGi, Level::kSwitch, kRequired);
  request.nics = {{"nic"}};
  request.constraints = {{{"gpu", "nic"}, Level::kSwitch, kRequired},
                         {{"scratch", "nic"}, Level::kSwitch, kRequired}};
  EXPECT_EQ(Explained(node, request),
            "gpu and nic within Switch: best level there is beside the other constraints: NUMANode."
            "scratch and nic within Switch: best level there is beside the other constraints: "
            "NUMANode.");
}

}  // namespace
}  // namespace ashlar::composer
