#include "controller/composition/fragment_figures.h"

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace ashlar::controller {
namespace {

using composer::Fragments;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr int64_t kGi = int64_t{1} << 30;

// Two PCIe roots, each with a GPU of four slices and a drive of 100 GiB.
composer::NodeDevices Node(const std::string& name) {
  composer::NodeDevices node;
  node.name = name;
  node.roots = {"pci0000:10", "pci0000:90"};
  for (int i : {0, 1}) {
    composer::Gpu& gpu = node.gpus.emplace_back();
    gpu.name = absl::StrCat("GPU-", name, i);
    gpu.place = {-1, i, i};
    gpu.layout = 0;
    composer::Drive& drive = node.drives.emplace_back();
    drive.name = absl::StrCat("S", i);
    drive.place = gpu.place;
    drive.kinds = {"fast"};
    drive.capacity_bytes = drive.allocatable_bytes = 100 * kGi;
  }
  return node;
}

class FragmentFiguresTest : public testing::Test {
 protected:
  FragmentFiguresTest() {
    inventory_.layouts.emplace_back(
        4, 4, 0,
        std::vector<composer::MigProfile>{{"1g.10gb", 1, 0, 4, {{0, 1}, {1, 1}, {2, 1}, {3, 1}}},
                                          {"4g.40gb", 4, 0, 1, {{0, 4}}}});
    for (const char* name : {"n1", "n2", "n3"}) inventory_.nodes.push_back(Node(name));
  }
  FragmentFigures Count(size_t most = 100) {
    return counter_.Count(inventory_, UsualShapes(inventory_.layouts), most);
  }
  composer::Inventory inventory_;
  FragmentCounter counter_;
};

TEST_F(FragmentFiguresTest, EmptyNodesStrandNothing) {
  const FragmentFigures figures = Count();
  EXPECT_EQ(figures.all, (Fragments{24, 0, 600 * kGi, 0}));
  EXPECT_THAT(figures.worst, IsEmpty());
}

TEST_F(FragmentFiguresTest, AGpuWithoutBytesAndBytesWithoutAGpuAreNamedByNodeAndRoot) {
  inventory_.nodes[1].drives[1].allocatable_bytes = 0;
  inventory_.nodes[2].gpus[0].taken = true;
  inventory_.nodes[2].gpus[1].place = {-1, -1, 1};  // nobody knows where it is
  const FragmentFigures figures = Count();
  EXPECT_EQ(figures.all, (Fragments{20, 8, 500 * kGi, 200 * kGi}));
  ASSERT_THAT(figures.worst, SizeIs(4));
  EXPECT_EQ(figures.worst[0].node, "n3") << "as many slices, and more bytes";
  EXPECT_EQ(figures.worst[0].root, "pci0000:10");
  EXPECT_EQ(figures.worst[0].fragments, (Fragments{0, 0, 100 * kGi, 100 * kGi}));
  EXPECT_EQ(figures.worst[1].root, "pci0000:90");
  EXPECT_EQ(figures.worst[2].root, "");
  EXPECT_EQ(figures.worst[2].fragments, (Fragments{4, 4, 0, 0}));
  EXPECT_EQ(figures.worst[3].node, "n2");
  EXPECT_EQ(figures.worst[3].root, "pci0000:90");
  EXPECT_EQ(figures.worst[3].fragments, (Fragments{4, 4, 0, 0}));
}

TEST_F(FragmentFiguresTest, OnlyTheWorstNodesAreToldOneByOne) {
  inventory_.nodes[0].drives[0].allocatable_bytes = 0;
  inventory_.nodes[2].drives[0].allocatable_bytes = 0;
  inventory_.nodes[2].drives[1].allocatable_bytes = 0;
  const FragmentFigures figures = Count(1);
  EXPECT_EQ(figures.all.stranded_slices, 12) << "all count in the sum";
  ASSERT_THAT(figures.worst, SizeIs(2));
  EXPECT_EQ(figures.worst[0].node, "n3");
  EXPECT_EQ(figures.worst[1].node, "n3");
}

TEST_F(FragmentFiguresTest, AlikeNodesAndThoseThatDidNotChangeAreNotLookedAtAgain) {
  Count();
  EXPECT_EQ(counter_.looked_at(), 1u) << "all are alike";
  Count();
  EXPECT_EQ(counter_.looked_at(), 0u);
  inventory_.nodes[0].gpus[0].used.memory = 1;
  Count();
  EXPECT_EQ(counter_.looked_at(), 1u);
  counter_.Count(inventory_, {UsualShapes(inventory_.layouts)[0]}, 1);
  EXPECT_EQ(counter_.looked_at(), 2u) << "other shapes, other figures";
}

TEST_F(FragmentFiguresTest, ANodeWithoutGpusOfOursHasNoBytesThatWaitForOne) {
  inventory_.nodes[0].gpus.clear();
  EXPECT_EQ(Count().all, (Fragments{16, 0, 400 * kGi, 0}));
  inventory_.nodes[0] = Node("n1");
  for (composer::Gpu& gpu : inventory_.nodes[0].gpus) gpu.problem = "somebody else's";
  EXPECT_EQ(Count().all, (Fragments{16, 0, 400 * kGi, 0}));
}

}  // namespace
}  // namespace ashlar::controller
