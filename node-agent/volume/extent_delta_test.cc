#include "node-agent/volume/extent_delta.h"

#include <random>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace ashlar::node_agent {
namespace {

using sys::MappedExtent;
using testing::ElementsAre;
using testing::IsEmpty;

constexpr bool kWritten = true, kUnwritten = false;

MappedExtent At(uint64_t logical, uint64_t bytes, uint64_t physical, bool written = kWritten) {
  return {logical, physical, bytes, written, true};
}
std::vector<ByteRange> Delta(const std::vector<MappedExtent>& base,
                             const std::vector<MappedExtent>& target, int64_t end = 100,
                             int64_t begin = 0) {
  return DifferingRanges({base, end}, {target, end}, {begin, end - begin});
}

TEST(ExtentDelta, WhatLiesInTheSamePlaceIsEqual) {
  EXPECT_THAT(Delta({At(10, 20, 500)}, {At(10, 20, 500)}), IsEmpty());
  EXPECT_THAT(Delta({At(10, 20, 500)}, {At(10, 8, 500), At(18, 12, 508)}), IsEmpty());
  EXPECT_THAT(Delta({At(10, 20, 500)}, {At(10, 20, 501)}), ElementsAre(ByteRange{10, 20}));
  EXPECT_THAT(Delta({At(10, 20, 500)}, {At(12, 20, 500)}), ElementsAre(ByteRange{10, 22}));
}

TEST(ExtentDelta, OnlyWhatWasRewrittenDiffers) {
  EXPECT_THAT(Delta({At(0, 100, 500)}, {At(0, 40, 500), At(40, 10, 900), At(50, 50, 550)}),
              ElementsAre(ByteRange{40, 10}));
  EXPECT_THAT(Delta({At(0, 100, 500)}, {At(0, 10, 900), At(10, 10, 700), At(20, 80, 520)}),
              ElementsAre(ByteRange{0, 20}))
      << "adjacent ranges are one";
}

TEST(ExtentDelta, HolesAndWhatWasOnlyReservedReadAsZero) {
  EXPECT_THAT(Delta({}, {At(10, 20, 500, kUnwritten)}), IsEmpty());
  EXPECT_THAT(Delta({At(10, 20, 500, kUnwritten)}, {}), IsEmpty());
  EXPECT_THAT(Delta({At(10, 20, 500, kUnwritten)}, {At(10, 20, 500)}),
              ElementsAre(ByteRange{10, 20}));
  EXPECT_THAT(Delta({At(10, 20, 500)}, {}), ElementsAre(ByteRange{10, 20})) << "punched out";
  EXPECT_THAT(Delta({}, {At(10, 20, 500)}), ElementsAre(ByteRange{10, 20}));
}

TEST(ExtentDelta, WhatHasNoPlaceOfItsOwnMayDiffer) {
  MappedExtent packed = At(10, 20, 500);
  packed.located = false;
  EXPECT_THAT(Delta({packed}, {packed}), ElementsAre(ByteRange{10, 20}));
}

TEST(ExtentDelta, NothingOutsideTheWindowIsListed) {
  EXPECT_THAT(Delta({}, {At(10, 200, 500)}, 100, 50), ElementsAre(ByteRange{50, 50}));
  EXPECT_THAT(Delta({}, {At(10, 20, 500)}, 100, 30), IsEmpty());
  EXPECT_THAT(WrittenRanges({{At(10, 200, 500)}, 100}, {50, 50}), ElementsAre(ByteRange{50, 50}));
}

TEST(ExtentDelta, PartsGrowTogetherWhereTheyTouch) {
  std::vector<ByteRange> ranges = {{0, 10}};
  AppendRanges(ranges, {{10, 5}, {20, 5}});
  EXPECT_THAT(ranges, ElementsAre(ByteRange{0, 15}, ByteRange{20, 5}));
}

// Two files as arrays of blocks: 0 is a hole, else a place on the device.
TEST(ExtentDelta, AgreesWithAComparisonBlockByBlock) {
  std::mt19937 random(1);
  constexpr int kBlocks = 60;
  for (int round = 0; round < 2000; ++round) {
    std::vector<uint64_t> blocks[2];
    std::vector<MappedExtent> maps[2];
    for (int file = 0; file < 2; ++file) {
      for (int i = 0; i < kBlocks; ++i)
        blocks[file].push_back(random() % 4 == 0   ? 0
                               : random() % 3 == 0 ? 1000 + random() % 500
                                                   : 100 + i);
      for (int i = 0; i < kBlocks; ++i)
        if (blocks[file][i] != 0) maps[file].push_back(At(i, 1, blocks[file][i]));
    }
    std::vector<bool> listed(kBlocks);
    for (const ByteRange& range : Delta(maps[0], maps[1], kBlocks))
      for (int64_t at = range.offset; at < range.end(); ++at) listed[at] = true;
    for (int i = 0; i < kBlocks; ++i)
      ASSERT_EQ(listed[i], blocks[0][i] != blocks[1][i]) << "round " << round << " block " << i;
  }
}

}  // namespace
}  // namespace ashlar::node_agent
