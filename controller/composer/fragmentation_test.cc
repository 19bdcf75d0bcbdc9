#include "controller/composer/fragmentation.h"

#include "controller/composer/testing/device_scene.h"
#include "gtest/gtest.h"

namespace ashlar::composer {
namespace {

const std::vector<MigLayout> kLayouts = {A100Layout()};

MemberRequest SliceAndVolume(const char* profile, int64_t bytes) {
  MemberRequest shape = GpusAndVolume(1, bytes, Level::kSwitch, Enforcement::kRequired);
  shape.gpus[0].profile = profile;
  return shape;
}

TEST(FragmentsOf, AnEmptyNodeStrandsNothing) {
  const NodeFragments all =
      FragmentsOf(TwoSockets("n1"), kLayouts,
                  {GpusAndVolume(1, 500 * kGi, Level::kSwitch, Enforcement::kRequired)});
  EXPECT_EQ(all.node, (Fragments{64, 0, 8000 * kGi, 0}));
  EXPECT_EQ(all.switches.at(1), (Fragments{16, 0, 2000 * kGi, 0}));
  EXPECT_EQ(all.numa_nodes.at(1), (Fragments{32, 0, 4000 * kGi, 0}));
}

TEST(FragmentsOf, GpusWithoutBytesAndBytesWithoutGpusAreStranded) {
  NodeDevices node = TwoSockets("n1");
  node.drives[0].allocatable_bytes = node.drives[1].allocatable_bytes = 100 * kGi;
  node.gpus[2].taken = node.gpus[3].taken = true;
  const NodeFragments all = FragmentsOf(
      node, kLayouts, {GpusAndVolume(1, 500 * kGi, Level::kSwitch, Enforcement::kRequired)});
  // At the first switch both GPUs and the rest of the drives; at the second the bytes.
  EXPECT_EQ(all.switches.at(0), (Fragments{16, 16, 200 * kGi, 200 * kGi}));
  EXPECT_EQ(all.switches.at(1), (Fragments{0, 0, 2000 * kGi, 2000 * kGi}));
  EXPECT_EQ(all.switches.at(2), (Fragments{16, 0, 2000 * kGi, 0}));
  EXPECT_EQ(all.node, (Fragments{48, 16, 6200 * kGi, 2200 * kGi}));
}

TEST(FragmentsOf, SlicesThatNoProfileOfTheShapesCoversAreStranded) {
  NodeDevices node = TwoSockets("n1");
  node.gpus.resize(1);
  kLayouts[0].Take(node.gpus[0].used, kLayouts[0].Find("1g.10gb"), {1, 1});
  // 3g fits at 4 alone: slices 0, 2 and 3 are of no use to it, but 0 is to 1g.
  EXPECT_EQ(FragmentsOf(node, kLayouts, {SliceAndVolume("3g.40gb", kGi)}).node.stranded_slices, 3);
  EXPECT_EQ(
      FragmentsOf(node, kLayouts, {SliceAndVolume("3g.40gb", kGi), SliceAndVolume("1g.20gb", kGi)})
          .node.stranded_slices,
      1);
}

TEST(FragmentsOf, SickDevicesAndNodesHaveNothingFree) {
  NodeDevices node = TwoSockets("n1");
  node.gpus[0].problem = "lost";
  node.drives[7].problem = "failing";
  const std::vector<MemberRequest> shapes = {
      GpusAndVolume(1, kGi, Level::kSwitch, Enforcement::kRequired)};
  EXPECT_EQ(FragmentsOf(node, kLayouts, shapes).node, (Fragments{56, 0, 7000 * kGi, 0}));
  node.problem = "cordoned";
  EXPECT_EQ(FragmentsOf(node, kLayouts, shapes).node, Fragments());
}

}  // namespace
}  // namespace ashlar::composer
