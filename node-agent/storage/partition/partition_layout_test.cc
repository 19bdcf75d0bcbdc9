#include "node-agent/storage/partition/partition_layout.h"

#include "gtest/gtest.h"
#include "node-agent/storage/volume_facts.h"

namespace ashlar::node_agent {
namespace {

using sys::PartitionTable;
using testing::Test;

PartitionTable ATable() {
  PartitionTable table;
  table.begin_bytes = kMiB;
  table.end_bytes = 100 * kMiB - 17 * 1024;
  table.slots = 128;
  table.partitions = {{1, kMiB, kMetadataBytes, kMetadataType, "m", ""},
                      {3, 10 * kMiB, 5 * kMiB, kVolumeType, "v", ""}};
  return table;
}

TEST(PartitionLayout, RoomIsWhatLiesBetweenPartitionsInWholeMiB) {
  EXPECT_EQ(FreeExtents(ATable(), kMiB),
            (std::vector<Extent>{{3 * kMiB, 7 * kMiB}, {15 * kMiB, 84 * kMiB}}));
  EXPECT_EQ(FreeExtents(ATable(), 4 * kMiB),
            (std::vector<Extent>{{4 * kMiB, 6 * kMiB}, {16 * kMiB, 83 * kMiB}}));
}

TEST(PartitionLayout, APartitionGrowsUpToTheNextOneOrTheEnd) {
  const PartitionTable table = ATable();
  EXPECT_EQ(RoomAfter(table, table.partitions[0]), 7 * kMiB);
  EXPECT_EQ(RoomAfter(table, table.partitions[1]), 84 * kMiB);
}

TEST(PartitionLayout, NumbersAreThoseThatNoPartitionHas) {
  PartitionTable table = ATable();
  EXPECT_EQ(FreeNumber(table), 2u);
  for (uint32_t number = 2; number <= 128; ++number)
    if (number != 3) table.partitions.push_back({number, 0, 0, "", "", ""});
  EXPECT_EQ(FreeNumber(table), 0u);
}

TEST(PartitionLayout, ADriveIsKnownByItsPoolWhateverItIsCalled) {
  EXPECT_TRUE(IsTableOf(TableGuid("uid-1", "eui.1"), "uid-1"));
  EXPECT_FALSE(IsTableOf(TableGuid("uid-1", "eui.1"), "uid-2"));
  EXPECT_NE(TableGuid("uid-1", "eui.1"), TableGuid("uid-1", "eui.2"));
  EXPECT_EQ(TableGuid("uid-1", "eui.1").size(), 36u);
  EXPECT_FALSE(IsTableOf("", "uid-1"));
  EXPECT_NE(VolumeGuid("uid-1", "v"), VolumeGuid("uid-2", "v"));
}

TEST(PartitionLayout, PartitionsBeginAtMultiplesOfAMiBAndOfSensibleIoSizes) {
  EXPECT_EQ(Grain(0), kMiB);
  EXPECT_EQ(Grain(128 << 10), kMiB);
  EXPECT_EQ(Grain(3 << 19), 3 * kMiB);
  EXPECT_EQ(Grain(33553920), kMiB) << "what some USB bridges say";
}

TEST(PartitionLayout, ADamagedBlockIsNone) {
  const Json json{{"facts", {{"id", "v"}}}};
  const std::string block = *EncodeBlock(json);
  ASSERT_EQ(block.size(), kBlockBytes);
  EXPECT_EQ(*DecodeBlock(block), json);
  for (const size_t at : {0u, 20u, 35u, 45u, 60u}) {
    std::string damaged = block;
    damaged[at] ^= 1;
    EXPECT_FALSE(DecodeBlock(damaged).ok()) << at;
  }
  EXPECT_FALSE(DecodeBlock(std::string(kBlockBytes, '\0')).ok());
  EXPECT_FALSE(DecodeBlock(std::string(kBlockBytes, 'f')).ok());
  EXPECT_FALSE(EncodeBlock(Json(std::string(kBlockBytes, 'x'))).ok());
}

}  // namespace
}  // namespace ashlar::node_agent
